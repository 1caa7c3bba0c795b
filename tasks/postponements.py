"""Tell the buyers of a postponed event: tens of thousands of mails, written in pages, each in a
transaction of its own, so that another worker can go on. A mail goes out as its mailbox allows."""

import time

from db.payments import postponements
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told

PAGE = 500
"""Bookings in one transaction, which locks them for some hundredths of a second."""
TIME_SLICE = 60
"""The time slice in seconds; Dramatiq interrupts an actor after 300."""


@durable(queue="mail", lease=60, longest_delay=300, keep=True)
def tell_of_postponement(lease: Lease) -> None:
    """Write the mails of the latest postponement, until none is left."""
    end = time.monotonic() + TIME_SLICE
    while not lease.finished:
        stop_if_told()
        if time.monotonic() > end:
            raise TryLater(0, "the time slice is over")
        write_page(lease)
        reach("after page of mails")


def write_page(lease: Lease) -> None:
    with lease.transaction() as conn:
        if postponements.tell_buyers(conn, lease.task.args["event_id"], PAGE):
            lease.finish(conn)
        else:
            lease.renew(conn)
        reach("before page of mails commits")
