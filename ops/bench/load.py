"""The load of HTTP rows, sent by a process of its own.

    python -m ops.bench.load

Reads a line of JSON on its standard input, `{url, path, method, count, first, token}`. Prepares
`count` requests, each for another buyer beginning with the account `first`, or all with the token,
if it is given, and prints "ready". At the next
line it sends them over a few connections as fast as they are answered, and prints how many were
answered. All preparation is done before the clock runs.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import uvloop

from web.support.sessions import Session, make_token

CONNECTIONS = 32
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
EXPECTED = {"GET": b"HTTP/1.1 200 ", "POST": b"HTTP/1.1 201 "}


async def run() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        requests = list(prepare(**asked))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(await send_all(asked["url"], requests, EXPECTED[asked["method"]]), flush=True)


def prepare(
    url: str, path: str, method: str, count: int, first: int, token: str | None = None
) -> Iterator[bytes]:
    body = json.dumps({"quantity": 2}).encode() if method == "POST" else b""
    for buyer in range(first, first + count):
        head = [
            f"{method} {path} HTTP/1.1",
            f"Host: {urlsplit(url).netloc}",
            f"Authorization: Bearer {token or sign_in(buyer)}",
        ]
        if method == "POST":
            head += [f"Idempotency-Key: {buyer}", "Content-Type: application/json",
                     f"Content-Length: {len(body)}"]  # fmt: skip
        yield "\r\n".join([*head, "", ""]).encode() + body


def sign_in(buyer: int) -> str:
    """A token as a session of the buyer would have, without a row of one."""
    token: str = make_token(Session(buyer, id=buyer), datetime.now(UTC))["token"]
    return token


async def send_all(url: str, requests: list[bytes], expected: bytes) -> int:
    """Send all; count those answered as expected. Errors: AssertionError for another answer."""
    left = iter(requests)
    senders = (send(url, left, expected) for _ in range(CONNECTIONS))
    return sum(await asyncio.gather(*senders))


async def send(url: str, requests: Iterator[bytes], expected: bytes) -> int:
    address: Any = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    answered = 0
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None, head
        body = await reader.readexactly(int(length[1]))
        assert head.startswith(expected), head + body
        answered += 1
    writer.close()
    return answered


if __name__ == "__main__":
    uvloop.run(run())
