"""idle, idle.thousand: what the whole system costs while it has nothing to do.

All processes run as in `make run`, without requests; CPU time is that of Usher's processes,
Postgres and Redis, in ms for each second. idle.thousand has a thousand events on sale in whose
queues nobody waits. A round begins when the clock's first jobs and their tasks are done.
"""

import time
from collections.abc import Callable
from pathlib import Path

from db.connections import Conn, one
from ops.bench import events
from ops.bench.measure import Options, Row, Stopwatch, state, timed
from ops.local.cpu import cpu_seconds
from ops.local.servers import connected
from ops.local.stack import Stack

PROCESSES = ("web", "live", "relay", "clock", "worker", "mailer", "keeper")
LONGER = 8
"""A round takes so many times as long as one of pgbench: CPU time is counted in hundredths of
a second, and some jobs run every ten."""
SEATS = 20
ONE_CORE = 1000.0  # ms a second
TIMEOUT_S = 120
POLL_S = 0.2
QUIET_LOOKS = 10
"""Looks in a row that find no task before the first round."""


def idle(options: Options, var_dir: Path) -> Row:
    return measure("idle", "nothing to do", 0, options, var_dir)


def thousand(options: Options, var_dir: Path) -> Row:
    number = options.few
    return measure(
        "idle.thousand", f"{number:,} events on sale, nobody waits", number, options, var_dir
    )


def measure(name: str, note: str, number: int, options: Options, var_dir: Path) -> Row:
    """Measure rounds beside this many events."""
    formation = dict.fromkeys(PROCESSES, 1)
    with (
        Stack(var_dir / "stack", formation, say=lambda _: None) as stack,
        connected(stack.database_url) as conn,
    ):
        conn.execute(events.ORGANISATION)
        for _ in range(number):
            events.add_event(conn, SEATS)
        events.settle_down(conn)
        wait_for_quiet(conn)
        spent = [look_on(stack, options, name) for _ in range(options.rounds)]
    return state(
        name,
        "ms/s",
        f"{note}; CPU of all Usher's processes, Postgres and Redis",
        [(ms, ONE_CORE) for ms in spent],
        "one core",
        "lower",
    )


def wait_for_quiet(conn: Conn) -> None:
    """Wait until no task is left, and none has come for a while."""
    deadline, quiet = time.monotonic() + TIMEOUT_S, 0
    while quiet < QUIET_LOOKS:
        left = one(conn.execute("SELECT count(*) AS tasks FROM outbox"))["tasks"]
        quiet = 0 if left else quiet + 1
        assert time.monotonic() < deadline, f"{left} tasks are left"
        time.sleep(POLL_S)


def look_on(stack: Stack, options: Options, name: str) -> float:
    """CPU time in ms for each second of a round, and by process where it is told."""
    before = by_process(stack)
    with timed(lambda: [pid for pids in pids_of(stack).values() for pid in pids]) as watch:
        time.sleep(options.reference_seconds * LONGER)
    after = by_process(stack)
    told = (f"{kind} {rate(after[kind] - before[kind], watch):.0f}" for kind in before)
    total = rate(watch.cpu_seconds, watch)
    options.say(f"  {name}: {total:.0f} ms/s: {', '.join(told)}")
    return total


def rate(cpu: float, watch: Stopwatch) -> float:
    return cpu * 1000 / watch.seconds


def by_process(stack: Stack) -> dict[str, float]:
    """CPU seconds until now of each kind of process, and of the servers."""
    return {kind: cpu_seconds(pids) for kind, pids in pids_of(stack).items()}


def pids_of(stack: Stack) -> dict[str, list[int]]:
    assert stack.postgres and stack.redis, "unset DATABASE_URL and REDIS_URL"
    ours = {kind: list(stack.supervisor.pids(kind)) for kind in PROCESSES}
    return {**ours, "Postgres": [stack.postgres.pid], "Redis": [stack.redis.pid]}


ROWS: dict[str, Callable[[Options, Path], Row]] = {"idle": idle, "idle.thousand": thousand}
