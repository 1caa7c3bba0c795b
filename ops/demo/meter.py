"""CPU of a stack by phase and process. PostgreSQL's work counts for the process that asked for it:
a backend belongs to the process at the other end of its connection. Linux only; else nothing."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from db.connections import Conn
from ops.local.cpu import PROC, TICKS, find_descendants, process_stats, read_stat

BACKENDS = """
SELECT pid, client_port, inet_server_port() AS port FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND client_port > 0
"""
ESTABLISHED = "01"
ALL = "all"
SALE = "sale"  # all phases with a crowd
SERVER, CROWD = "postgres", "crowd"


class Meter:
    """CPU seconds by process name, in phases that follow each other.

    began: when the first phase began, by the monotonic clock. roots: the processes that were
    started, by name; the tree of each counts. The server's own tree is `postgres`; what its
    backends did for `web` is taken out of it and stands as `postgres for web`.
    """

    def __init__(self, roots: Callable[[], Mapping[str, list[int]]], began: float) -> None:
        self.roots = roots
        self.cpu_s: dict[str, dict[str, float]] = {}
        self.seconds: dict[str, float] = {}
        self._began = began
        self._used: Counter[str] = Counter()
        self._counted: dict[int, int] = {}
        self._clients: dict[int, str] = {}
        self._own = 0.0

    def look(self, conn: Conn) -> None:
        """Count what backends did until now: one that has ended cannot be asked any more."""
        if not PROC.exists():
            return
        found = {row["pid"]: row for row in conn.execute(BACKENDS)}
        if unknown := [row for pid, row in found.items() if pid not in self._clients]:
            self._find_clients(unknown)
        for pid in found:
            if (stat := read_stat(pid)) and pid in self._clients:
                self._count(f"{SERVER} for {self._clients[pid]}", pid, stat[1])

    def _find_clients(self, backends: Sequence[Mapping[str, int]]) -> None:
        """Note which process is at the other end of each backend's connection."""
        sockets = sockets_to(backends[0]["port"])
        stats = process_stats()
        for name, pids in self.roots().items():
            held = {link for pid in find_descendants(pids, stats) for link in sockets_of(pid)}
            for backend in backends:
                if name != SERVER and sockets.get(backend["client_port"]) in held:
                    self._clients[backend["pid"]] = name

    def _count(self, name: str, pid: int, ticks: int) -> None:
        self._used[name] += max(0, ticks - self._counted.get(pid, 0))
        self._counted[pid] = ticks

    def end_phase(self, phase: str, conn: Conn, others: Mapping[str, float] | None = None) -> None:
        """Write down the CPU since the last phase ended. others: CPU seconds of processes that are
        not among the roots."""
        if not PROC.exists():
            return
        self.look(conn)
        stats = process_stats()
        for name, pids in self.roots().items():
            for pid in pids:
                ticks = sum(stats[each][1] for each in find_descendants([pid], stats))
                self._count(name, pid, ticks)
        self._close(phase, others or {})

    def _close(self, phase: str, others: Mapping[str, float]) -> None:
        own = time.process_time()
        served = sum(n for name, n in self._used.items() if name.startswith(f"{SERVER} for "))
        self._used[SERVER] = max(0, self._used[SERVER] - served)
        found = {name: ticks / TICKS for name, ticks in self._used.items()}
        found |= {"demo": own - self._own, **others}
        self._own = own
        self._used.clear()
        rounded = {name: round(s, 2) for name, s in sorted(found.items()) if s >= 0.005}
        self.cpu_s[phase] = {ALL: round(sum(found.values()), 2), **rounded}
        if CROWD in others:
            sale = self.cpu_s.setdefault(SALE, {ALL: 0.0})
            sale[ALL] = round(sale[ALL] + self.cpu_s[phase][ALL], 2)
        now = time.monotonic()
        self.seconds[phase] = round(now - self._began, 1)
        self._began = now


def children_s() -> dict[str, float]:
    """CPU of this process' children that have ended: what made and migrated the database."""
    times = os.times()
    return {"others": times.children_user + times.children_system}


def sockets_to(port: int) -> dict[int, str]:
    """The sockets that are connected to a port of this machine, by their own port, as links in
    /proc name them."""
    found = {}
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        _, ours, theirs, state, *others = line.split()
        if state == ESTABLISHED and port_of(theirs) == port:
            found[port_of(ours)] = f"socket:[{others[5]}]"
    return found


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def sockets_of(pid: int) -> list[str]:
    found = []
    try:
        for link in (PROC / str(pid) / "fd").iterdir():
            found.append(str(link.readlink()))
    except OSError:  # it has ended, or the link has
        pass
    return found
