"""HTTP/1.1 over kept connections, and no more of it than a crowd needs.

A crowd sends tens of thousands of requests from the machine that answers them. With aiohttp each
cost it 0.25 ms of CPU, with this 0.04.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

TIMEOUT_S = 30.0
KEPT_S = 15.0  # Servers keep idle connections for longer, so none is closed under a request.
EMPTY = frozenset((204, 304))  # statuses without a body


class Broken(ConnectionError):
    """The connection ended, or what came over it is no answer."""


@dataclass(frozen=True)
class Response:
    """An answer as it came. The names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """One connection, on which one answer at a time is awaited."""

    def __init__(self) -> None:
        self.is_open, self.used_at = True, 0.0
        self._buffer = bytearray()
        self._answer: asyncio.Future[Response] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._fail(Broken(f"the connection was closed: {error}" if error else "it was closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._answer is None or self._answer.done():
            self.close()  # nothing was asked for
            return
        try:
            response = read_response(self._buffer)
        except (ValueError, IndexError) as error:
            self.close()
            self._fail(Broken(f"no HTTP answer: {error}"))
            return
        if response is not None:
            self._buffer.clear()
            if response.headers.get("connection", "").lower() == "close":
                self.close()
            self._answer.set_result(response)

    async def ask(self, request: bytes) -> Response:
        """Send a request and wait for its answer. Errors: Broken, TimeoutError."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._answer
        except BaseException:
            self.close()  # what may still come is of no other request
            raise
        self.used_at = time.monotonic()
        return response

    def close(self) -> None:
        self.is_open = False
        self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def read_response(content: bytes | bytearray) -> Response | None:
    """The response that bytes are, or None while they are not whole. Errors: ValueError and
    IndexError, when they are no response."""
    end = content.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = content[:end].decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = read_body(content, end + 4, status, headers)
    return None if body is None else Response(status, headers, body)


def read_body(
    content: bytes | bytearray, start: int, status: int, headers: Mapping[str, str]
) -> bytes | None:
    """The body that begins at `start`, or None while it is not whole. Errors: ValueError."""
    if status in EMPTY:
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return join_chunks(content, start)
    end = start + int(headers["content-length"]) if "content-length" in headers else start
    return bytes(content[start:end]) if len(content) >= end else None


def join_chunks(content: bytes | bytearray, start: int) -> bytes | None:
    """The chunks that begin at `start`; None while the last has not come. Errors: ValueError."""
    body = b""
    while (line_end := content.find(b"\r\n", start)) >= 0:
        size = int(content[start:line_end].split(b";")[0], 16)
        start, end = line_end + 2, line_end + 2 + size
        if len(content) < end + 2:
            return None
        if not size:
            return body
        body += content[start:end]
        start = end + 2
    return None


class Client:
    """Requests to one server, from any or from one address of this machine."""

    def __init__(self, url: str, address: str | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._address = (address, 0) if address else None
        self._host_line = f"Host: {parts.netloc}\r\n"
        self._idle: list[Connection] = []

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        """Errors: OSError, of which Broken and TimeoutError are kinds."""
        length = f"Content-Length: {len(body or b'')}\r\n" if body or method == "POST" else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {target} HTTP/1.1\r\n{self._host_line}{lines}{length}\r\n"
        connection = self._find() or await self._connect()
        response = await connection.ask(head.encode("latin-1") + (body or b""))
        if connection.is_open:
            self._idle.append(connection)
        return response

    def _find(self) -> Connection | None:
        """The connection that was used last, if its server surely keeps it still."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and time.monotonic() - connection.used_at < KEPT_S:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        async with asyncio.timeout(TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, self._host, self._port, local_addr=self._address
            )
        return connection

    def close(self) -> None:
        """Close the connections that are idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
