"""Rounds, ratios and CPU time: what all rows share."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from ops.local.cpu import PROC, cpu_seconds, find_descendants, process_stats

Better = Literal["higher", "lower", "nearer"]
"""Which values are better; nearer: those closer to the reference's."""


@dataclass(frozen=True)
class Sample:
    """A number of operations, the seconds that they took, and the servers' CPU time."""

    operations: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.operations / self.seconds

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds * 1000 / self.operations


@dataclass(frozen=True)
class Row:
    """A row of var/bench.json. Values are medians of the rounds, ratios medians of the rounds'
    ratios. cpu_ms is the CPU time of all server processes for one operation; None for figures that
    are not rates.
    """

    name: str
    value: float
    unit: str
    better: Better
    reference: str
    reference_value: float
    ratio: float
    cpu_ms: float | None
    reference_cpu_ms: float | None
    cpu_ratio: float | None
    rounds: int
    note: str
    p99: float | None = None
    """Of waits, whose value is the p50."""


@dataclass
class Options:
    """How often rows are measured, and with how much; the command line can change all."""

    rounds: int
    seats: int
    bookings: int
    reference_seconds: float
    waiting: int
    few: int
    requests: int
    sales: int
    joins: int
    old_bookings: int
    say: Callable[[str], object] = field(default=print)


def compare(
    name: str,
    unit: str,
    note: str,
    options: Options,
    measured: Callable[[], Sample],
    reference: Callable[[], Sample],
    reference_name: str,
    rounds: int | None = None,
) -> Row:
    """Measure both in turn, with the reference first in every other round, and take medians.

    rounds: overrides the options'.
    """
    rounds = rounds or options.rounds
    pairs = []
    for number in range(rounds):
        order = [measured, reference] if number % 2 == 0 else [reference, measured]
        samples = {what: what() for what in order}
        pairs.append((samples[measured], samples[reference]))
        ours, theirs = pairs[-1]
        options.say(
            f"  {name} {number + 1}/{rounds}: {ours.rate:,.0f} {unit}, {ours.cpu_ms:.3f} ms"
            f" CPU; {reference_name}: {theirs.rate:,.0f}, {theirs.cpu_ms:.3f} ms"
        )
    return Row(
        name=name,
        value=round(median(ours.rate for ours, _ in pairs), 1),
        unit=unit,
        better="higher",
        reference=reference_name,
        reference_value=round(median(theirs.rate for _, theirs in pairs), 1),
        ratio=round(median(ours.rate / theirs.rate for ours, theirs in pairs), 3),
        cpu_ms=round(median(ours.cpu_ms for ours, _ in pairs), 4),
        reference_cpu_ms=round(median(theirs.cpu_ms for _, theirs in pairs), 4),
        cpu_ratio=round(median(ours.cpu_ms / theirs.cpu_ms for ours, theirs in pairs), 3),
        rounds=rounds,
        note=note,
    )


def state(
    name: str,
    unit: str,
    note: str,
    pairs: Sequence[tuple[float, float]],
    reference_name: str,
    better: Better,
) -> Row:
    """A row for a figure that is not a rate, beside the figure it is compared with."""
    return Row(
        name=name,
        value=round(median(ours for ours, _ in pairs), 2),
        unit=unit,
        better=better,
        reference=reference_name,
        reference_value=round(median(theirs for _, theirs in pairs), 2),
        ratio=round(median(ours / theirs for ours, theirs in pairs), 3),
        cpu_ms=None,
        reference_cpu_ms=None,
        cpu_ratio=None,
        rounds=len(pairs),
        note=note,
    )


@dataclass
class Stopwatch:
    """Seconds and CPU seconds that blocks took; read it after the block."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def timed(pids: Callable[[], Iterable[int]], watch: Stopwatch | None = None) -> Iterator[Stopwatch]:
    """Time a block, with the CPU time of the processes `pids()` and their descendants.

    A watch that is passed in adds the block to its earlier time.
    """
    watch = watch or Stopwatch()
    cpu_before, before = cpu_seconds(pids()), time.perf_counter()
    yield watch
    watch.seconds += time.perf_counter() - before
    watch.cpu_seconds += cpu_seconds(pids()) - cpu_before


def resident_bytes(roots: Iterable[int]) -> int:
    """Resident memory of processes and their descendants now; shared pages count in each."""
    pages = (
        int((PROC / str(pid) / "statm").read_text().split()[1])
        for pid in find_descendants(roots, process_stats())
    )
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")
