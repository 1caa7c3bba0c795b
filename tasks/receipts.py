"""Number receipts: a task for each organisation with receipts to number, so that confirming a
booking never waits for the next number.
"""

import time

from db.payments import receipts
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told

BATCH = 500
"""Receipts and credit notes in one transaction."""
TIME_SLICE = 60
"""The time slice in seconds; Dramatiq interrupts an actor after 300."""


@durable(queue="payments", lease=60, longest_delay=300, keep=True)
def number_receipts(lease: Lease) -> None:
    """Number all due documents, batch by batch, in the order of their causes."""
    end = time.monotonic() + TIME_SLICE
    while not lease.finished:
        stop_if_told()
        if time.monotonic() > end:
            raise TryLater(0, "the time slice is over")
        number_batch(lease)
        reach("after receipts")


def number_batch(lease: Lease) -> None:
    """Number one batch. The counter changes in the documents' transaction: no gap, no duplicate."""
    with lease.transaction() as conn:
        numbered = receipts.number(conn, lease.task.args["organisation_id"], BATCH)
        if numbered < BATCH:
            lease.finish(conn)
        else:
            lease.renew(conn)
        reach("before receipts commit")
