"""Numbering receipts: a task of each organisation that has something to number, so that
confirming a booking never waits for the next number.
"""

import time

from db.payments import receipts
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told

BATCH = 500
"""Documents in one transaction."""
TURN = 60
"""Seconds after which it lets others have the thread; Dramatiq interrupts after 300."""


@durable(queue="payments", lease=60, longest_delay=300, keep=True)
def number_receipts(lease: Lease) -> None:
    """Number whatever is due, batch by batch, in the order in which it happened."""
    end = time.monotonic() + TURN
    while not lease.finished:
        stop_if_told()
        if time.monotonic() > end:
            raise TryLater(0, "others have their turn")
        number_batch(lease)
        reach("after receipts")


def number_batch(lease: Lease) -> None:
    """The counter moves in the transaction of the documents: no gap, no number twice."""
    with lease.transaction() as conn:
        numbered = receipts.number(conn, lease.task.args["organisation_id"], BATCH)
        if numbered < BATCH:
            lease.finish(conn)
        else:
            lease.renew(conn)
        reach("before receipts commit")
