"""queue.drain.depth: the drain of a deep queue, beside that of a shallow one. queue.drain.xmin: the
drain while another transaction holds an old snapshot, beside the drain without one.

Each round sells all seats of an event in pairs. After each batch, as many new entries join as the
batch decided, so that the queue keeps its depth; the clock is stopped meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db.connections import Conn
from db.runtime.settings import Settings
from ops.bench import events
from ops.bench.crowds import Crowds
from ops.bench.events import Event
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
def shallow_database(crowds: Crowds) -> Iterator[tuple[Conn, Event]]:
    """A database of its own, so that its indexes are small too."""
    url = crowds.postgres.create_database("shallow")
    migrate(url)
    with connected(url) as conn:
        events.empty(conn)
        event = events.add_event(conn, crowds.options.seats)
        events.add_entries(conn, event, crowds.options.few)
        yield conn, event


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
            reader.execute("SELECT FROM lane_state")

        return drain_at_depth(crowds, crowds.conn, crowds.deep, look)


def drain_at_depth(
    crowds: Crowds, conn: Conn, event: Event, begin: Callable[[], object] = lambda: None
) -> Sample:
    """Sell all seats; call `begin` when everything is ready."""
    free_seats(conn, event)
    begin()
    watch, booked = Stopwatch(), 0
    while booked < event.seats // 2:
        with timed(lambda: [crowds.postgres.pid], watch):
            served = events.serve_one_lane(conn, Settings.drain_batch)
        assert served is not None and served[0] == event.id
        booked += served[1].booked
        events.add_entries(conn, event, served[1].taken)
    return Sample(booked, watch.seconds, watch.cpu_seconds)


def free_seats(conn: Conn, event: Event) -> None:
    """Free all seats and close all other lanes; waiting entries go on waiting."""
    events.truncate(conn, BY_SALES)
    events.add_seats(conn, event)
    conn.execute("UPDATE lanes SET paused = event_id <> %s", [event.id])
    conn.execute("UPDATE lane_state SET state = 'idle', rest_until = NULL, rest_reason = NULL")
    events.settle_down(conn)


ROWS = {"queue.drain.depth": depth, "queue.drain.xmin": xmin}
