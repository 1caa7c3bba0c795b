"""Carry out a plan of acts in a thread of its own, each at its time.

Acts meet each other: what one of them is told to may just have been killed by another. Such an act
is done as soon as its target is back, and only fails if that takes too long.
"""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import TypeVar

import psycopg
import redis
import requests

from ops.chaos.plan import Act
from ops.local.background import Background

T = TypeVar("T")
Doing = Callable[[Act], Act | None]
"""Does an act; an act that it returns is done later."""

UNREACHABLE = (
    ConnectionError,
    TimeoutError,
    requests.ConnectionError,
    requests.Timeout,
    psycopg.OperationalError,
    redis.ConnectionError,
    redis.TimeoutError,
)
AGAIN_S = 0.2
PATIENCE_S = 30
"""The longest that a process may take to be there again, on a busy machine."""


class Timeline(Background):
    """Runs for the time of a `with` block. `doings`: the function for each kind of act.

    done: number of acts by kind; late: of those, the ones whose target was away at first; errors: a
    sentence for each act that failed.
    """

    def __init__(self, acts: Iterable[Act], doings: Mapping[str, Doing]) -> None:
        super().__init__("timeline")
        self.doings = doings
        self.done: Counter[str] = Counter()
        self.late: Counter[str] = Counter()
        self.errors: list[str] = []
        self._serial = count()
        self._left: list[tuple[float, int, Act, float]] = []
        for act in acts:
            self._add(act)

    def _add(self, act: Act) -> None:
        heapq.heappush(self._left, (act.at_s, next(self._serial), act, act.at_s))

    def run(self) -> None:
        began = time.monotonic()
        while self._left:
            at_s, _, act, planned_s = heapq.heappop(self._left)
            if self.stopping.wait(max(0, began + at_s - time.monotonic())):
                return
            try:
                later = self.doings[act.what](act)
            except UNREACHABLE as error:
                self._do_later(act, planned_s, time.monotonic() - began, error)
                continue
            except Exception as error:
                self.errors.append(f"{act}: {type(error).__name__}: {error}")
                continue
            self.done[act.what] += 1
            self.late[act.what] += act.at_s > planned_s
            if later:
                self._add(later)

    def _do_later(self, act: Act, planned_s: float, now_s: float, error: Exception) -> None:
        if now_s > planned_s + PATIENCE_S:
            self.errors.append(f"{act}: {type(error).__name__}: {error}")
            return
        again = replace(act, at_s=now_s + AGAIN_S)
        heapq.heappush(self._left, (again.at_s, next(self._serial), again, planned_s))


def insist(do: Callable[[], T]) -> T:
    """Do something whose target may have been killed a moment ago. Errors: the last one of it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return do()
        except UNREACHABLE:
            if time.monotonic() > deadline:
                raise
        time.sleep(AGAIN_S)
