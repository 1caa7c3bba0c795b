"""Send buyers' requests: over a few connections, with retries, and through a cache if public.

The cache plays the proxy or content delivery network in front of an on-sale: a public document is
fetched once for all buyers, for as long as its Cache-Control allows.
"""

import asyncio
import contextlib
import heapq
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from ops.crowd.client import Client

Json = dict[str, Any]

PATIENCE_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
NO_NUMBER = 2**63
BOARD_S = 0.5
ENDED_S = 1.0  # within which a queue is told that nothing is left

HOLDING, LOOKING, JOINING, COMING = range(4)
SHARES = (8, 4, 2, 2)
"""Kinds of requests, and their shares of the connections where all kinds wait. Each person has a
connection in life. Here they have a few together, and a buyer whose time to pay runs must not stand
behind thousands who sign up, join, or look whether their payment is through."""


class Unexpected(Exception):
    """The service gave an answer that it must not give here."""


@dataclass(frozen=True)
class Answer:
    """An answer with any status except those that mean 'try again'."""

    status: int
    body: Json
    headers: Mapping[str, str]

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


class Places:
    """How many requests of a crowd may be under way. Of those that wait, the kind that got least
    for its share is next, and of one kind the first."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[deque[asyncio.Future[None]]] = [deque() for _ in SHARES]
        self._got = [0.0 for _ in SHARES]  # places by kind, divided by its share
        self._now = 0.0  # what the kind had got that was served last

    @asynccontextmanager
    async def place(self, kind: int) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._wait(kind)
        try:
            yield
        finally:
            self._give_back()

    async def _wait(self, kind: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._waiting[kind]:  # what it did not ask for meanwhile is no credit
            self._got[kind] = max(self._got[kind], self._now)
        self._waiting[kind].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while kinds := [kind for kind, queue in enumerate(self._waiting) if queue]:
            kind = min(kinds, key=self._got.__getitem__)
            turn = self._waiting[kind].popleft()
            if not turn.done():
                self._now = self._got[kind]
                self._got[kind] += 1 / SHARES[kind]
                turn.set_result(None)
                return
        self._free += 1


class Api:
    """What the whole crowd asks, or the buyers at one address of it. `asked` and `places` are the
    whole crowd's."""

    def __init__(self, client: Client, asked: Asked, places: Places) -> None:
        self.client = client
        self.asked = asked
        self._places = places

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        token: str = "",
        key: str = "",
        expect: tuple[int, ...] = (200,),
        kind: int = HOLDING,
    ) -> Answer:
        """Ask until an answer comes. Errors: Unexpected when its status is not in `expect`."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = orjson.dumps(body)
        answer = await self._insist(method, path, data, headers, kind)
        if answer.status not in expect:
            raise Unexpected(f"{method} {path}: {answer.status} {answer.body}")
        return answer

    async def _insist(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], kind: int
    ) -> Answer:
        """Repeat the request while the service is unreachable, busy or limiting the rate, for
        PATIENCE_S from the first failure: before it may have waited long for its place."""
        give_up_at, pause = 0.0, FIRST_PAUSE_S
        while True:
            trouble: object
            try:
                answer = await self._ask(method, path, data, headers, kind)
                if answer.status not in (429, 502, 503, 504):
                    return answer
                trouble = f"{answer.status} {answer.body}"
                self.asked.limited += answer.status == 429
                pause = max(pause, min(float(answer.headers.get("retry-after", 0)), PATIENCE_S))
            except OSError as error:
                trouble = repr(error)
            give_up_at = give_up_at or time.monotonic() + PATIENCE_S
            if time.monotonic() > give_up_at:
                raise Unexpected(f"{method} {path}: no answer in {PATIENCE_S:.0f} s: {trouble}")
            self.asked.retries += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _ask(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], kind: int
    ) -> Answer:
        self.asked.requests += 1
        async with self._places.place(kind):
            response = await self.client.ask(method, path, headers, data)
        is_json = "json" in response.headers.get("content-type", "")
        body = orjson.loads(response.body) if response.body and is_json else {}
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
    found = re.search(r"max-age=(\d+)", answer.headers.get("cache-control", ""))
    return float(found[1]) if found else 0.0


class Board:
    """The queue's public document as all waiting buyers follow it, and its number now serving.

    `full`: set when no seat that is for all is free; held ones may come back. `ended`: set when
    nothing is left, and all who wait can read so.
    """

    def __init__(self, edge: Edge, event_id: int) -> None:
        self.edge = edge
        self.path = f"/v1/events/{event_id}/queue"
        self.serving = 0
        self.full, self.ended = asyncio.Event(), asyncio.Event()
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
        """Read the document twice a second, until cancelled.

        The whole crowd shares one copy, so poll_after_s, meant for single clients, is ignored, and
        so is the time for which caches may keep it.
        """
        waiting, over_since = 0, math.inf
        while True:
            document = await self.edge.get(self.path, fresh=True)
            is_over = document.get("sale") in ("over", "sold_out")
            emptied = waiting > 0 and document["waiting"] == 0
            waiting, self.serving = document["waiting"], document["now_serving"]
            if is_over or document.get("sale") == "all_held":
                self.full.set()
            # The seats of the last booking are sold a moment before the queue is told that it is
            # over: an entry that is read in between is read in vain.
            over_since = min(over_since, time.monotonic()) if is_over else math.inf
            if is_over and (waiting == 0 or time.monotonic() - over_since > ENDED_S):
                self.ended.set()
            self._call(NO_NUMBER if self.ended.is_set() or emptied else self.serving)
            await asyncio.sleep(BOARD_S)

    def _call(self, serving: int) -> None:
        while self._watching and self._watching[0][0] <= serving:
            heapq.heappop(self._watching)[2].set()
