"""Cancelling an event: tens of thousands of bookings, batch by batch, each a transaction of its
own, so that the next worker goes on where the last one was.

Refunds are made as the gateway can take them: no batch is begun while that before it still waits.
"""

import time

from db.payments import event_cancellations
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater, stop_if_told

BATCH = 200
"""Bookings in one transaction; their refunds take 10 s at 20 a second."""
TURN = 60
"""Seconds after which it lets others have the thread; Dramatiq interrupts after 300."""
WAIT = 2
"""Seconds until a look whether the refunds of the last batch are done."""


@durable(queue="payments", lease=120, longest_delay=300, keep=True)
def cancel_event(lease: Lease) -> None:
    """Take bookings back until none is left, nor any under way that might still be confirmed."""
    end = time.monotonic() + TURN
    with lease.transaction() as conn:
        event_cancellations.await_sales(conn, lease.task.args["event_id"])
    while not lease.finished:
        stop_if_told()
        if time.monotonic() > end:
            raise TryLater(0, "others have their turn")
        if not take_batch(lease):
            raise TryLater(WAIT, "the gateway has refunds to do, or bookings are still being paid")
        reach("after cancel batch")


def take_batch(lease: Lease) -> bool:
    """Whether it was the last one, or another may follow at once."""
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
