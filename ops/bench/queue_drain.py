"""queue.drain.depth and queue.drain.xmin: the drain of a deep queue, beside that of a shallow one,
and with somebody's old snapshot beside without.

Each round sells a hall of pairs out. As many as a batch has decided join before the next one, while
the clock stands, so that the queue stays as deep as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db.connections import Conn
from db.runtime.settings import Settings
from ops.bench import halls
from ops.bench.crowds import Crowds
from ops.bench.halls import Hall
from ops.bench.measure import Row, Sample, Stopwatch, compare, timed
from ops.deploy.migrate import migrate
from ops.local.servers import connected

BY_SALES = """
bookings, booking_items, payments, refunds, disputes, tickets, buyer_seats, emails, outbox,
lane_wakes, state_log, seats
"""


def depth(crowds: Crowds) -> Row:
    options = crowds.options
    with shallow_database(crowds) as (conn, shallow):
        return compare(
            "queue.drain.depth",
            "bookings/s",
            f"pairs, {options.waiting:,} waiting, {Settings.drain_batch} entries a transaction",
            options,
            lambda: drain_at_depth(crowds, crowds.conn, crowds.deep),
            lambda: drain_at_depth(crowds, conn, shallow),
            f"{options.few:,} waiting",
            crowds.rounds,
        )


@contextmanager
def shallow_database(crowds: Crowds) -> Iterator[tuple[Conn, Hall]]:
    """Its indexes are small too."""
    url = crowds.postgres.create_database("shallow")
    migrate(url)
    with connected(url) as conn:
        halls.empty(conn)
        hall = halls.add_hall(conn, crowds.options.seats)
        halls.add_crowd(conn, hall, crowds.options.few)
        yield conn, hall


def xmin(crowds: Crowds) -> Row:
    options = crowds.options
    return compare(
        "queue.drain.xmin",
        "bookings/s",
        f"pairs, {options.waiting:,} waiting, a snapshot held for as long as it takes to sell out",
        options,
        lambda: drain_beside_snapshot(crowds),
        lambda: drain_at_depth(crowds, crowds.conn, crowds.deep),
        "no snapshot held",
        crowds.rounds,
    )


def drain_beside_snapshot(crowds: Crowds) -> Sample:
    with connected(crowds.stack.database_url) as reader:

        def look() -> None:
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT FROM lanes")

        return drain_at_depth(crowds, crowds.conn, crowds.deep, look)


def drain_at_depth(
    crowds: Crowds, conn: Conn, hall: Hall, begin: Callable[[], object] = lambda: None
) -> Sample:
    """Sell the hall out; `begin` is called when it has been made ready."""
    free_seats(conn, hall)
    begin()
    watch, booked = Stopwatch(), 0
    while booked < hall.seats // 2:
        with timed(lambda: [crowds.postgres.pid], watch):
            served = halls.serve_one_lane(conn, Settings.drain_batch)
        assert served is not None and served[0] == hall.event
        booked += served[1].booked
        halls.add_crowd(conn, hall, served[1].taken)
    return Sample(booked, watch.seconds, watch.cpu_seconds)


def free_seats(conn: Conn, hall: Hall) -> None:
    """As if nothing had been sold, and no other lane were open; whoever waits goes on waiting."""
    halls.truncate(conn, BY_SALES)
    halls.add_seats(conn, hall)
    query = "UPDATE lanes SET paused = event_id <> %s, busy = false, stalled = false"
    conn.execute(query, [hall.event])
    halls.settle_down(conn)


ROWS = {"queue.drain.depth": depth, "queue.drain.xmin": xmin}
