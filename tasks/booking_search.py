"""The terms by which organisers find bookings: a task follows the state log, seconds behind it, so
that neither the drain nor the saga writes them."""

import time
from collections.abc import Sequence

from db.maintenance import booking_search
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told

INDEXED_AT_ONCE = 1000
"""Bookings in one transaction: about a tenth of a second."""
TIME_SLICE = 60  # seconds, after which another task may have the thread


@durable(queue="maintenance", lease=300, longest_delay=60)
def index_bookings(lease: Lease) -> None:
    """Write the terms of bookings that changed or were marked."""
    end = time.monotonic() + TIME_SLICE
    while not lease.finished:
        if time.monotonic() > end:
            raise TryLater(0, "the time slice is over")
        is_up_to_date = follow_log(lease)
        marked = index_marked(lease)
        if is_up_to_date and marked < INDEXED_AT_ONCE:
            with lease.transaction() as conn:
                lease.finish(conn)


def follow_log(lease: Lease) -> bool:
    """Write the terms of what changed in the next part of the state log; whether it was the
    last."""
    with lease.transaction() as conn:
        span = booking_search.next_span(conn)
        changed = [] if span.empty else booking_search.list_changed(conn, span)
    for start in range(0, len(changed), INDEXED_AT_ONCE):
        stop_if_told()
        index(lease, changed[start : start + INDEXED_AT_ONCE])
    if not span.empty:
        with lease.transaction() as conn:
            booking_search.move_on(conn, span)
            lease.renew(conn)
    return span.last


def index(lease: Lease, bookings: Sequence[booking_search.Row]) -> None:
    with lease.transaction() as conn:
        booking_search.index(conn, bookings)
        lease.renew(conn)


def index_marked(lease: Lease) -> int:
    """Write the terms of a batch of bookings that are marked; how many."""
    stop_if_told()
    with lease.transaction() as conn:
        marked = booking_search.take_marked(conn, INDEXED_AT_ONCE)
        booking_search.index(conn, marked)
        lease.renew(conn)
    return len(marked)
