"""A live process under test, and somebody who listens to it.

def test_it_tells(live: Live) -> None:
    with listening(live, path, ticket=ticket) as listener:
        assert listener.next().name == "position"
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from db.connections import Conn
from ops.local.servers import free_port, tethered
from ops.local.supervisor import ROOT
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale


@dataclass
class Live:
    """The process under test."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> int:
        """Bytes that are resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def cpu(self) -> float:
        """Seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def live(configured: dict[str, str], tmp_path: Path) -> Iterator[Live]:
    port, log = free_port(), tmp_path / "live.log"
    env = {**os.environ, **configured, "LIVE_BIND": f"127.0.0.1:{port}"}
    with log.open("wb") as output:
        process = tethered([sys.executable, "-m", "web.live.server"], output, env=env, cwd=ROOT)
    try:
        running = Live(process, port, log)
        wait_until(lambda: answers(f"{running.url}/readyz"), 20)
        yield running
        assert b"Traceback" not in log.read_bytes(), log.read_text()
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


@dataclass
class Event:
    """A server-sent event; a comment or retry alone has no name."""

    name: str = ""
    id: str = ""
    retry: int = 0
    comment: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def parse(text: str) -> Event:
    event = Event()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match key:
            case "event":
                event.name = value
            case "id":
                event.id = value
            case "retry":
                event.retry = int(value)
            case "data":
                event.data = json.loads(value)
            case "":
                event.comment = value
    return event


@dataclass
class Listener:
    """Somebody who listens; events are read one by one."""

    response: requests.Response

    def __post_init__(self) -> None:
        self._text = ""
        self._chunks: Iterator[bytes] = self.response.iter_content(chunk_size=None)

    def read(self) -> Event | None:
        """The next event; None at the end of the stream."""
        while "\n\n" not in self._text:
            chunk = next(self._chunks, None)
            if chunk is None:
                return None
            self._text += chunk.decode()
        text, _, self._text = self._text.partition("\n\n")
        return parse(text)

    def next(self, wanted: Callable[[Event], object] = lambda event: event.name) -> Event:
        """The next event that is wanted."""
        while True:
            event = self.read()
            assert event is not None, "the stream ended"
            if wanted(event):
                return event


@contextmanager
def listening(
    live: Live, path: str, token: str = "", ticket: str = "", last_id: str = "", cookie: str = ""
) -> Iterator[Listener]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    if cookie:
        headers["Cookie"] = cookie
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{live.url}{path}" + (f"?ticket={ticket}" if ticket else "")
    with requests.get(url, headers=headers, stream=True, timeout=15) as response:
        yield Listener(response)


def hear_the_turn(url: str, sale: Sale, buyer: Caller, conn: Conn) -> str:
    """A buyer joins, hears the place and then the turn by the queue ticket; the ticket."""
    ticket = str(sale.join(buyer).json["ticket"])
    path = f"{sale.path}/queue/stream?ticket={ticket}"
    with requests.get(url + path, stream=True, timeout=10) as response:
        listener = Listener(response)
        assert listener.next().data["number"] == 1
        sale.drain(conn)
        assert listener.next(lambda event: event.name == "turn").data["state"] == "booked"
        assert listener.read() is None
    return ticket
