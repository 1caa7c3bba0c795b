"""Close connections that never finish sending a request."""

import asyncio
from time import monotonic

from aiohttp import web

SLOWEST = 10.0  # seconds from connecting, or from the last answer, to the end of the headers
LOOK_EVERY = 1.0


class Connections:
    """The connections of a server, and since when each has had no request under way."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.BaseTransport] = set()
        self._waiting: dict[asyncio.BaseTransport, float] = {}

    def begin(self, request: web.Request) -> None:
        if request.transport is not None:
            self._under_way.add(request.transport)
            self._waiting.pop(request.transport, None)

    def end(self, transport: asyncio.BaseTransport | None) -> None:
        if transport is not None:
            self._under_way.discard(transport)

    async def close_slow_ones(self, server: web.Server) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now, before = monotonic(), self._waiting
            idle = [c.transport for c in server.connections if c.transport is not None]
            self._waiting = {t: before.get(t, now) for t in idle if t not in self._under_way}
            for transport, since in self._waiting.items():
                if now - since > SLOWEST:
                    transport.close()
