"""saga.free, saga.paid and saga.paid_200ms: the whole saga, by the Procfile's processes.

The bookings that are paid already hold their seats when the clock starts. All buyers pay at once,
and the clock stops when the last booking is confirmed; CPU time is counted on until every task is
done, every e-mail sent and every notification of the gateway delivered. Relay, clock, worker,
mailer and web (for the notifications) run as in `make run`; the sandbox has no rate limits. Free
bookings need no gateway and are made by the drain itself: their clock starts when the queue opens,
and no mailer runs. CPU time is that of Usher's processes, Postgres and Redis, without the sandbox.

With 200 ms for each call, one call at a time would make 1 / (calls a booking * 0.2 s) bookings a
second. The ratio to that is the average number of calls under way.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from db.connections import Conn, one
from ops.bench import events, pgbench
from ops.bench.events import Event
from ops.bench.measure import Options, Row, Sample, Stopwatch, compare, state, timed
from ops.local.servers import Postgres, connected
from ops.local.stack import Stack

FORMATION = {"web": 1, "relay": 1, "clock": 1, "worker": 1, "keeper": 1}
WITH_MAIL = {**FORMATION, "mailer": 1}
UNLIMITED = {"GATEWAY_LIMIT": "10000", "SAGA_BACKLOG": "1000000"}
LATENCY_S = 0.2
TIMEOUT_S = 300
POLL_S = 0.05

PAY = """
SELECT count(*) FILTER (WHERE p.outcome = 'started') AS started
FROM bookings b, start_payment(b.event_id, b.id, b.buyer_id, 'pm_card_visa',
    'https://usher.example/paid') p
WHERE b.event_id = %s AND b.state = 'held'
"""
UNDONE = "SELECT count(*) AS tasks FROM outbox WHERE run_at < now() + interval '1 minute'"
COUNT = "SELECT count(*) AS bookings FROM bookings WHERE event_id = %s AND state = %s"


def free(options: Options, var_dir: Path) -> Row:
    with running(var_dir) as saga:
        return compare(
            "saga.free",
            "bookings/s",
            f"{options.seats // 2:,} free pairs, from the queue to confirmed by relay and worker",
            options,
            lambda: saga.give_away(options.seats // 2),
            pgbench.Pgbench(saga.postgres, options.reference_seconds).measure,
            pgbench.NAME,
        )


def paid(options: Options, var_dir: Path) -> Row:
    with running(var_dir, WITH_MAIL) as saga:
        return compare(
            "saga.paid",
            "bookings/s",
            f"{options.bookings:,} pairs paid at once; a gateway that answers at once",
            options,
            lambda: saga.sell(options.bookings, latency_s=0),
            pgbench.Pgbench(saga.postgres, options.reference_seconds).measure,
            pgbench.NAME,
        )


def paid_200ms(options: Options, var_dir: Path) -> Row:
    with running(var_dir, WITH_MAIL) as saga:
        samples, pairs = [], []
        for number in range(options.rounds):
            sample = saga.sell(options.bookings, latency_s=LATENCY_S)
            calls = saga.stack.sandbox.calls()["total"] / options.bookings
            samples.append(sample)
            pairs.append((sample.rate, 1 / (calls * LATENCY_S)))
            options.say(
                f"  saga.paid_200ms {number + 1}/{options.rounds}: {sample.rate:,.1f} bookings/s,"
                f" {calls:.2f} calls each, {sample.rate * calls * LATENCY_S:.1f} under way"
            )
        row = state(
            "saga.paid_200ms",
            "bookings/s",
            f"{options.bookings:,} pairs paid at once; each call to the gateway takes 200 ms, and"
            " the ratio is how many are under way on average",
            pairs,
            "one call at a time",
            "higher",
        )
        return replace(row, cpu_ms=round(median(sample.cpu_ms for sample in samples), 4))


@dataclass
class Saga:
    """The processes of a stack; each round adds an event."""

    stack: Stack
    conn: Conn
    formation: dict[str, int]

    @property
    def postgres(self) -> Postgres:
        assert self.stack.postgres is not None, "unset DATABASE_URL: pgbench runs beside it"
        return self.stack.postgres

    def give_away(self, bookings: int) -> Sample:
        """Give free pairs to every entry of a queue that opens."""
        event = self._add_event(bookings, price=0)
        with timed(self._pids) as watch:
            self._open(event)
            self._wait(event, "confirmed", bookings)
        return sample(bookings, watch)

    def sell(self, bookings: int, latency_s: float) -> Sample:
        """Let all buyers pay at once for pairs that they hold."""
        event = self._add_event(bookings, price=5000)
        self._open(event)
        self._wait(event, "held", bookings)
        self.stack.sandbox.faults(latency_ms=latency_s * 1000)
        with timed(self._pids) as watch:
            before = time.perf_counter()
            started = one(self.conn.execute(PAY, [event.id]))["started"]
            assert started == bookings, f"{started} of {bookings} could pay"
            self._wait(event, "confirmed", bookings)
            seconds = time.perf_counter() - before
            self._wait_until_delivered()
        return Sample(bookings, seconds, watch.cpu_seconds)

    def _add_event(self, bookings: int, price: int) -> Event:
        """Add an event with seats for twice as many pairs, an entry per booking, a paused lane."""
        self.stack.sandbox.reset()
        rows = -(-bookings * 4 // events.SEATS_A_ROW)
        event = events.add_event(self.conn, rows * events.SEATS_A_ROW, price=price)
        self.conn.execute("UPDATE lanes SET paused = true WHERE event_id = %s", [event.id])
        events.add_entries(self.conn, event, bookings)
        events.settle_down(self.conn)
        return event

    def _open(self, event: Event) -> None:
        self.conn.execute("UPDATE lanes SET paused = false WHERE event_id = %s", [event.id])

    def _wait(self, event: Event, state: str, bookings: int) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while (found := self._count(event, state)) < bookings:
            assert time.monotonic() < deadline, f"{found} of {bookings} bookings are {state}"
            time.sleep(POLL_S)

    def _wait_until_delivered(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while (left := self._undelivered()) > 0:
            assert time.monotonic() < deadline, f"{left} tasks and notifications are left"
            time.sleep(POLL_S)

    def _undelivered(self) -> int:
        """Tasks that are due, and notifications that the gateway has still to deliver."""
        pending = self.stack.sandbox.calls()["webhooks"]["pending"]
        return int(one(self.conn.execute(UNDONE))["tasks"]) + int(pending)

    def _count(self, event: Event, state: str) -> int:
        return int(one(self.conn.execute(COUNT, [event.id, state]))["bookings"])

    def _pids(self) -> list[int]:
        assert self.stack.postgres and self.stack.redis
        ours = [pid for kind in self.formation for pid in self.stack.supervisor.pids(kind)]
        return [*ours, self.stack.postgres.pid, self.stack.redis.pid]


def sample(bookings: int, watch: Stopwatch) -> Sample:
    return Sample(bookings, watch.seconds, watch.cpu_seconds)


@contextmanager
def running(var_dir: Path, formation: dict[str, int] = FORMATION) -> Iterator[Saga]:
    with (
        Stack(var_dir / "stack", formation, env=UNLIMITED, say=lambda _: None) as stack,
        connected(stack.database_url) as conn,
    ):
        conn.execute(events.ORGANISATION)
        yield Saga(stack, conn, formation)


ROWS: dict[str, Callable[[Options, Path], Row]] = {
    "saga.free": free,
    "saga.paid": paid,
    "saga.paid_200ms": paid_200ms,
}
