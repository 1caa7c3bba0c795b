"""drain.reserve, queue.drain.mixed and drain.small: the drain alone, in the database.

The event has four categories that all cost money. One connection takes lanes and decides entries in
number order, as the drain actor does, until every seat is held. Bookings, items and counters are
written too. `reserve`: best available pairs, one entry for two seats. `mixed`: named seats, best
available and groups, two entries for each seat, so that many find no seats: deciding those takes
time as well. `small`: a pair a turn, as in a sale in which buyers come one after the other.
"""

from pathlib import Path

from db.connections import Conn
from db.runtime.settings import Settings
from ops.bench import events, pgbench
from ops.bench.measure import Options, Row, Sample, compare, timed
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

LARGE_BATCH = 1000
SEATS_A_PAIR = 8  # so that it never looks far
WARM_UP = 20  # turns: a worker's connections live for hours


def reserve(options: Options, var_dir: Path) -> Row:
    return drain_beside_pgbench(
        "drain.reserve", "best available pairs", events.PAIRS, options.seats // 2, LARGE_BATCH,
        options, var_dir,
    )  # fmt: skip


def mixed(options: Options, var_dir: Path) -> Row:
    return drain_beside_pgbench(
        "queue.drain.mixed",
        f"{options.seats * 2:,} entries, named seats, best available and groups",
        events.MIXED, options.seats * 2, Settings.drain_batch, options, var_dir,
    )  # fmt: skip


def drain_beside_pgbench(
    name: str, what: str, wishes: str, entries: int, batch: int, options: Options, var_dir: Path
) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        reference = pgbench.Pgbench(postgres, options.reference_seconds)
        url = postgres.create_database("usher")
        migrate(url)
        return compare(
            name,
            "bookings/s",
            f"{what}, {options.seats:,} seats, {batch} entries a transaction, one connection",
            options,
            lambda: drain_hall(postgres, url, options.seats, entries, wishes, batch),
            reference.measure,
            pgbench.NAME,
        )


def drain_hall(
    postgres: Postgres, url: str, seats: int, entries: int, wishes: str, batch: int
) -> Sample:
    with connected(url) as conn:
        events.empty(conn)
        event = events.add_event(conn, seats)
        events.add_entries(conn, event, entries, wishes)
        events.settle_down(conn)
        with timed(lambda: [postgres.pid]) as watch:
            booked = events.drain_until_it_waits(conn, batch)
        held = events.count_held(conn, event)
        assert held > seats * 0.99, f"{held} seats of {seats} are held"
        return Sample(booked, watch.seconds, watch.cpu_seconds)


def small(options: Options, var_dir: Path) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        reference = pgbench.Pgbench(postgres, options.reference_seconds)
        url = postgres.create_database("usher")
        migrate(url)
        return compare(
            "drain.small",
            "turns/s",
            "looking for the lane, then one pair of seats; one connection",
            options,
            lambda: drain_one_by_one(postgres, url, options.bookings),
            reference.measure,
            pgbench.NAME,
        )


def drain_one_by_one(postgres: Postgres, url: str, turns: int) -> Sample:
    with connected(url) as conn:
        events.empty(conn)
        event = events.add_event(conn, SEATS_A_PAIR * (WARM_UP + turns))
        events.add_entries(conn, event, WARM_UP + turns)
        events.settle_down(conn)
        booked = [serve_one(conn) for _ in range(WARM_UP)]
        with timed(lambda: [postgres.pid]) as watch:
            booked += [serve_one(conn) for _ in range(turns)]
        assert set(booked) == {1}
        return Sample(turns, watch.seconds, watch.cpu_seconds)


def serve_one(conn: Conn) -> int:
    served = events.serve_one_lane(conn, 1)
    assert served
    return served[1].booked


ROWS = {"drain.reserve": reserve, "queue.drain.mixed": mixed, "drain.small": small}
