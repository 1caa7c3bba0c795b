"""Carry out a plan of acts in a thread of its own, each at its time."""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import count

from ops.chaos.plan import Act
from ops.local.background import Background

Doing = Callable[[Act], Act | None]
"""Does an act; an act that it returns is done later."""


class Timeline(Background):
    """Runs for the time of a `with` block. `doings`: the function for each kind of act.

    done: number of acts by kind; errors: a sentence for each act that failed.
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
