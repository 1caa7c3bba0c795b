"""CPU time of processes, as the kernel counts it (proc(5))."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of processes and their descendants, also of those that have ended.

    A process that ends during the reading could be counted twice (by itself and by its parent) or
    not at all. So reading is repeated until the processes are the same before and after it.
    """
    roots = list(roots)
    readings = [ticks_by_process(roots) for _ in range(3)]
    while not readings[-3].keys() == readings[-2].keys() == readings[-1].keys():
        readings.append(ticks_by_process(roots))
    return sum(readings[-2].values()) / TICKS


def ticks_by_process(roots: Iterable[int]) -> dict[int, int]:
    """CPU ticks of the roots and their descendants, by process."""
    stats = process_stats()
    return {pid: stats[pid][1] for pid in find_descendants(roots, stats)}


def find_descendants(roots: Iterable[int], stats: Mapping[int, tuple[int, int]]) -> set[int]:
    """The roots and their descendants that are alive."""
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


def process_stats() -> dict[int, tuple[int, int]]:
    """For each process, its parent and its ticks, with those of children it has waited for."""
    found = {}
    for path in PROC.iterdir():
        if path.name.isdecimal() and (stat := read_stat(int(path.name))):
            found[int(path.name)] = stat
    return found


def read_stat(pid: int) -> tuple[int, int] | None:
    """The parent of one process and its ticks; None when it has ended."""
    try:
        # After the command's name, which may hold spaces: state, ppid, ...
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), sum(map(int, fields[11:15]))
