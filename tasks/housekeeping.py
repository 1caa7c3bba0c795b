"""Housekeeping, as durable tasks that the clock enqueues: purge old rows, drop old months, archive
events that ended long ago, and sum days up.

All of it runs in batches, each in a transaction of its own, so that it can stop at any time.
"""

import time
from datetime import date

import structlog

from db.bookings import archives
from db.connections import session
from db.durable import jobs
from db.maintenance import housekeeping
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater

log = structlog.get_logger()

PURGED_AT_ONCE = 2000
ARCHIVED_AT_ONCE = 500
"""Bookings in one transaction: about a second."""
TIME_SLICE = 60  # seconds, after which another task may have the thread


class TimeSlice:
    """The time slice of long work, after which it gives its thread back."""

    def __init__(self) -> None:
        self._until = time.monotonic() + TIME_SLICE

    def check(self) -> None:
        """Errors: TryLater."""
        if time.monotonic() > self._until:
            raise TryLater(0, "the time slice is over")


@durable(queue="maintenance", lease=300)
def purge(lease: Lease) -> None:
    """Delete rows that are older than their retention."""
    time_slice, purged = TimeSlice(), dict[str, int]()
    for kind in housekeeping.kinds():
        batch = PURGED_AT_ONCE
        while batch == PURGED_AT_ONCE:
            time_slice.check()
            with lease.transaction() as conn:
                batch = housekeeping.purge_batch(conn, kind, PURGED_AT_ONCE)
                lease.renew(conn)
            purged[kind] = purged.get(kind, 0) + batch
    with lease.transaction() as conn:
        jobs.finish(conn, "purge", purged)
        lease.finish(conn)


@durable(queue="maintenance", lease=300)
def drop_partitions(lease: Lease) -> None:
    """Drop the monthly partitions that are old enough; go on with an interrupted one."""
    time_slice, dropped = TimeSlice(), list[str]()
    with lease.transaction() as conn:
        old = housekeeping.list_old_partitions(conn)
    for partition in old:
        time_slice.check()
        with session() as conn:
            housekeeping.drop_partition(conn, partition)
        log.info("partition dropped", partition=partition.name)
        dropped.append(partition.name)
        with lease.transaction() as conn:
            lease.renew(conn)
    with lease.transaction() as conn:
        jobs.finish(conn, "drop_partitions", dropped)
        lease.finish(conn)


@durable(queue="maintenance", lease=300)
def archive_event(lease: Lease) -> None:
    """Move an event into the archive, piece by piece. If something of it is still open, the clock
    tries again."""
    time_slice, event_id = TimeSlice(), lease.task.args["event_id"]
    while not lease.finished:
        time_slice.check()
        with lease.transaction() as conn:
            piece = archives.move_piece(conn, event_id, ARCHIVED_AT_ONCE)
            reach("before archive piece commits")
            if piece.done or piece.why:
                lease.finish(conn)
            else:
                lease.renew(conn)
        reach("after archive piece")
    log.info("archived" if piece.done else "not archived yet", event_id=event_id, why=piece.why)


@durable(queue="maintenance", lease=300)
def sum_up_day(lease: Lease) -> None:
    """Sum a day up in daily_sales."""
    day = lease.task.args["day"]
    with lease.transaction() as conn:
        events = housekeeping.sum_up_day(conn, date.fromisoformat(day))
        jobs.finish(conn, "statistics", {"day": day, "events": events})
        lease.finish(conn)
