"""A log of the requests that came in."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from dataclasses import asdict, dataclass, field
from typing import Any

REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; `outcome` is the HTTP status as text, or `dropped`."""

    at: float
    call: str
    path: str
    outcome: str
    request: str
    key: str | None
    replayed: bool
    fault: str | None
    milliseconds: float


@dataclass
class Calls:
    """How often each call ended how, since the start or the last reset, and the latest calls."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    latest: deque[Entry] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def note(self, entry: Entry) -> None:
        self.counts[entry.call][entry.outcome] += 1
        self.latest.append(entry)

    def shown(self) -> dict[str, Any]:
        return {
            "at": time.time(),
            "counts": self.counts,
            "total": sum(count.total() for count in self.counts.values()),
            "latest": [asdict(entry) for entry in self.latest],
        }

    def clear(self) -> None:
        self.counts.clear()
        self.latest.clear()
