"""Carries a plan of acts out, in a thread of its own, each at its moment."""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import count

from ops.chaos.plan import Act
from ops.local.background import Background

Doing = Callable[[Act], Act | None]
"""Does an act; what it returns is done later."""


class Timeline(Background):
    """Runs while a `with` block lasts. `doings`: how each kind of act is done.

    done: how many of each kind; errors: what went wrong in doing them.
    """

    def __init__(self, acts: Iterable[Act], doings: Mapping[str, Doing]) -> None:
        super().__init__("timeline")
        self.doings = doings
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self._serial = count()
        self._left: list[tuple[float, int, Act]] = []
        for act in acts:
            self._add(act)

    def _add(self, act: Act) -> None:
        heapq.heappush(self._left, (act.at_s, next(self._serial), act))

    def run(self) -> None:
        began = time.monotonic()
        while self._left:
            at_s, _, act = heapq.heappop(self._left)
            if self.stopping.wait(max(0, began + at_s - time.monotonic())):
                return
            try:
                later = self.doings[act.what](act)
            except Exception as error:
                self.errors.append(f"{act}: {type(error).__name__}: {error}")
                continue
            self.done[act.what] += 1
            if later:
                self._add(later)
