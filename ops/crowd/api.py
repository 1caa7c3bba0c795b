"""Send buyers' requests: over a few connections, with retries, and through a cache if public.

The cache plays the proxy or content delivery network in front of an on-sale: a public document is
fetched once for all buyers, for as long as its Cache-Control allows.
"""

import asyncio
import contextlib
import heapq
import re
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

Json = dict[str, Any]

PATIENCE_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
NO_NUMBER = 2**63
BOARD_S = 2.0


class Unexpected(Exception):
    """The service gave an answer that it must not give here."""


@dataclass(frozen=True)
class Answer:
    """An answer with any status except those that mean 'try again'."""

    status: int
    body: Json
    headers: Any

    @property
    def reason(self) -> str:
        return str(self.body.get("conflict_reason") or self.body.get("detail") or self.status)


@dataclass
class Asked:
    """What a whole crowd has asked: requests, those of them that were repeated ones, and those that
    a limit refused (429)."""

    requests: int = 0
    retries: int = 0
    limited: int = 0


class Api:
    """One HTTP session, of the whole crowd or of the buyers at one address of it. `asked` and
    `slots`, which says how many requests may be under way, are the whole crowd's."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        web_url: str,
        asked: Asked | None = None,
        slots: asyncio.Semaphore | None = None,
    ) -> None:
        self.session = session
        self.web_url = web_url
        self.asked = asked or Asked()
        self._slots: AbstractAsyncContextManager[Any] = slots or contextlib.nullcontext()

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        token: str = "",
        key: str = "",
        expect: tuple[int, ...] = (200,),
    ) -> Answer:
        """Ask until an answer comes. Errors: Unexpected when its status is not in `expect`."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = orjson.dumps(body)
        answer = await self._insist(method, path, data, headers)
        if answer.status not in expect:
            raise Unexpected(f"{method} {path}: {answer.status} {answer.body}")
        return answer

    async def _insist(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> Answer:
        """Repeat the request while the service is unreachable, busy or limiting the rate."""
        give_up_at, pause = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            trouble: object
            try:
                answer = await self._ask(method, path, data, headers)
                if answer.status not in (429, 502, 503, 504):
                    return answer
                trouble = f"{answer.status} {answer.body}"
                self.asked.limited += answer.status == 429
                pause = max(pause, min(float(answer.headers.get("Retry-After", 0)), PATIENCE_S))
            except (
                aiohttp.ClientConnectionError,
                aiohttp.ClientPayloadError,
                TimeoutError,
            ) as error:
                trouble = repr(error)
            if time.monotonic() > give_up_at:
                raise Unexpected(f"{method} {path}: no answer in {PATIENCE_S:.0f} s: {trouble}")
            self.asked.retries += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _ask(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> Answer:
        self.asked.requests += 1
        url = self.web_url + path
        asking = self.session.request(method, url, data=data, headers=headers)
        async with self._slots, asking as response:
            content = await response.read()
            is_json = "json" in response.content_type
            body = orjson.loads(content) if content and is_json else {}
            return Answer(response.status, body, response.headers)


class Edge:
    """The shared cache of public documents."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._locks: dict[str, asyncio.Lock] = {}
        self._kept: dict[str, tuple[float, Json]] = {}

    async def get(self, path: str, *, fresh: bool = False) -> Json:
        """The document, at most as old as its max-age; `fresh`: without the cache."""
        async with self._locks.setdefault(path, asyncio.Lock()):
            until, body = self._kept.get(path, (0.0, {}))
            if fresh or time.monotonic() >= until:
                answer = await self.api.call("GET", path)
                body, until = answer.body, time.monotonic() + max_age(answer)
                self._kept[path] = until, body
            return body


def max_age(answer: Answer) -> float:
    found = re.search(r"max-age=(\d+)", answer.headers.get("Cache-Control", ""))
    return float(found[1]) if found else 0.0


class Board:
    """The queue's public document as all waiting buyers follow it, and its number now serving."""

    def __init__(self, edge: Edge, event_id: int) -> None:
        self.edge = edge
        self.path = f"/v1/events/{event_id}/queue"
        self.serving = 0
        self.over = False
        self._watching: list[tuple[int, int, asyncio.Event]] = []
        self._serial = 0

    async def wait_for(self, number: int, timeout: float) -> None:
        """Wait for this number's turn, for the queue to be empty, or for the timeout.

        Where the turn of the number has already come, only the other two end the wait.
        """
        turn = asyncio.Event()
        self._serial += 1
        heapq.heappush(self._watching, (self.key(number), self._serial, turn))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(turn.wait(), timeout)

    def key(self, number: int) -> int:
        return number if number > self.serving else NO_NUMBER

    async def watch(self) -> None:
        """Poll the document as often as caches renew it, until cancelled.

        The whole crowd shares one copy, so poll_after_s, meant for single clients, is ignored.
        """
        waiting = 0
        while True:
            document = await self.edge.get(self.path)
            self.over = document.get("sale") in ("over", "sold_out")
            emptied = waiting > 0 and document["waiting"] == 0
            waiting, self.serving = document["waiting"], document["now_serving"]
            called = NO_NUMBER if self.over or emptied else self.serving
            while self._watching and self._watching[0][0] <= called:
                heapq.heappop(self._watching)[2].set()
            await asyncio.sleep(BOARD_S)
