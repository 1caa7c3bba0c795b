"""Rounds, ratios and CPU time: what all rows share."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
Better = Literal["higher", "lower", "nearer"]
"""Which values are better; nearer: to that of the reference."""


@dataclass(frozen=True)
class Sample:
    """So many operations in so many seconds, with so much CPU time of the servers."""

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
    """A row of var/bench.json. Values are medians of the rounds, ratios medians of their ratios;
    cpu_ms is CPU time of all server processes together for one operation; None where neither
    side is work that takes time.
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


@dataclass
class Options:
    """What the command line may change: how often, and how much at a time."""

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
    """Measure both in turn, in every other round the reference first, and take medians.

    rounds: instead of the options'.
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
    """A row of figures that are not rates: what was found, beside what it is held against."""
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
    """Seconds of the clock and of the CPU that blocks took; to be read after them."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def timed(pids: Callable[[], Iterable[int]], watch: Stopwatch | None = None) -> Iterator[Stopwatch]:
    """Time a block, and the CPU time of the processes `pids()` and all that descend from them.

    With a watch, the block is added to what is on it.
    """
    watch = watch or Stopwatch()
    cpu_before, before = cpu_seconds(pids()), time.perf_counter()
    yield watch
    watch.seconds += time.perf_counter() - before
    watch.cpu_seconds += cpu_seconds(pids()) - cpu_before


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of processes, their descendants, and those of them that have ended.

    One that ends while all are being read might be counted twice, by itself and by its parent, or
    never. So the reading counts that has the same processes before and after it.
    """
    roots = list(roots)
    readings = [ticks_by_process(roots) for _ in range(3)]
    while not readings[-3].keys() == readings[-2].keys() == readings[-1].keys():
        readings.append(ticks_by_process(roots))
    return sum(readings[-2].values()) / TICKS


def ticks_by_process(roots: Iterable[int]) -> dict[int, int]:
    """Of the roots and all that descend from them."""
    stats = process_stats()
    return {pid: stats[pid][1] for pid in find_descendants(roots, stats)}


def find_descendants(roots: Iterable[int], stats: Mapping[int, tuple[int, int]]) -> set[int]:
    """The roots, and all that descend from them, as far as they are alive."""
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in stats.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid in stats and pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return found


def resident_bytes(roots: Iterable[int]) -> int:
    """Memory that processes and their descendants have to themselves or share, now."""
    pages = (
        int((PROC / str(pid) / "statm").read_text().split()[1])
        for pid in find_descendants(roots, process_stats())
    )
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def process_stats() -> dict[int, tuple[int, int]]:
    """By process: its parent, and its ticks with those of the children that it has waited for."""
    found = {}
    for path in PROC.iterdir():
        if path.name.isdecimal():
            try:
                # After the command's name, which may hold spaces: state, ppid, ...; see proc(5).
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            found[int(path.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return found
