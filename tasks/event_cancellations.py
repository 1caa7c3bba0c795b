"""Cancel an event: tens of thousands of bookings in batches, each in a transaction of its own, so
that another worker can go on.

Refunds are made at the gateway's rate: no batch is begun while refunds of the last one still wait.
"""

import time

from db.payments import event_cancellations
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told

BATCH = 200
"""Bookings in one transaction; their refunds take 10 s at 20 a second."""
TIME_SLICE = 60
"""The time slice in seconds; Dramatiq interrupts an actor after 300."""
WAIT = 2
"""Seconds until the refunds of the last batch are checked again."""


@durable(queue="payments", lease=120, longest_delay=300, keep=True)
def cancel_event(lease: Lease) -> None:
    """Cancel bookings until none is left, and none is under way that may still be confirmed."""
    end = time.monotonic() + TIME_SLICE
    with lease.transaction() as conn:
        event_cancellations.await_sales(conn, lease.task.args["event_id"])
    while not lease.finished:
        stop_if_told()
        if time.monotonic() > end:
            raise TryLater(0, "the time slice is over")
        if not take_batch(lease):
            raise TryLater(WAIT, "refunds wait for the gateway, or bookings are still being paid")
        reach("after cancel batch")


def take_batch(lease: Lease) -> bool:
    """Cancel one batch; return whether it was the last one or another may follow at once."""
    event_id = lease.task.args["event_id"]
    with lease.transaction() as conn:
        if event_cancellations.count_waiting(conn, event_id) > BATCH // 2:
            return False
        batch = event_cancellations.cancel_batch(conn, event_id, BATCH, settings().gateway_limit)
        if batch.under_way == 0:
            lease.finish(conn)
        else:
            lease.renew(conn)
        reach("before cancel batch commits")
        return batch.under_way == 0 or batch.taken > 0
