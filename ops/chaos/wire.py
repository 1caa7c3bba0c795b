"""A TCP proxy before Postgres that cuts connections at the worst moments.

    with Wire(postgres.port) as wire:
        processes connect to wire.url_of(postgres.url)
        wire.cut("before commit")

It relies on two facts of the protocol: psycopg sends COMMIT as a simple query, and the server sends
nothing unless it is asked.
"""

import asyncio
import threading
from collections import Counter, deque
from contextlib import suppress
from typing import Literal, Self
from urllib.parse import urlsplit

from ops.local.background import Background

HOST = "127.0.0.1"
COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
QUERIES = b"QPB"  # first bytes of messages that are requests: simple query, Parse, Bind
CHUNK = 2**16

How = Literal["before commit", "after commit", "before answer"]
"""before commit: the server does not get the COMMIT. after commit: the server commits, and its
answer is lost. before answer: the same for any request, also a single statement in autocommit."""


class Wire(Background):
    """Runs for the time of a `with` block. done: number of connections cut, by How."""

    def __init__(self, port: int) -> None:
        super().__init__("wire")
        self.far_port, self.port = port, 0
        self.done: Counter[str] = Counter()
        self._orders: deque[How] = deque()
        self._open: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()

    def cut(self, how: How) -> None:
        """Cut the connection that reaches this moment next."""
        self._orders.append(how)

    def rest(self) -> None:
        self._orders.clear()

    def url_of(self, url: str) -> str:
        """The URL of a database through this proxy."""
        parts = urlsplit(url)
        who = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{who}@{HOST}:{self.port}").geturl()

    def __enter__(self) -> Self:
        super().__enter__()
        self._ready.wait()
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        super().stop()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connect, HOST, 0, backlog=200)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, writer)
        with suppress(OSError):
            await link.carry(reader)
        link.close()

    def take_order(self, data: bytes) -> How | None:
        """The order for a connection that sends this, if it has reached the ordered moment."""
        if not self._orders:
            return None
        commits = data.endswith(COMMIT)
        how = self._orders[0]
        if commits if how != "before answer" else data[0] in QUERIES:
            self.done[how] += 1
            return self._orders.popleft()
        return None


class Link:
    """One connection through the wire."""

    def __init__(self, wire: Wire, near: asyncio.StreamWriter) -> None:
        self.wire, self.near = wire, near
        self.far: asyncio.StreamWriter | None = None
        self.doomed = False
        wire._open.add(near)

    async def carry(self, near_reader: asyncio.StreamReader) -> None:
        far_reader, self.far = await asyncio.open_connection(HOST, self.wire.far_port)
        self.wire._open.add(self.far)
        ways = [self._ask(near_reader, self.far), self._answer(far_reader)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            how = self.wire.take_order(data)
            if how == "before commit":
                return
            self.doomed = how is not None
            far.write(data)
            await far.drain()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            if self.doomed:
                return
            self.near.write(data)
            await self.near.drain()

    def close(self) -> None:
        for writer in (self.near, self.far):
            if writer:
                self.wire._open.discard(writer)
                writer.transport.abort()
