"""Disputes: whenever the gateway says that something has changed, look at what the dispute is."""

from datetime import UTC, datetime
from typing import Any

import structlog

from db import disputes
from db.disputes import Dispute
from tasks import gateway
from tasks.broker import durable
from tasks.durable import Lease, TryLater

log = structlog.get_logger()


@durable(queue="bookings", keep=True)
def look_at_dispute(lease: Lease) -> None:
    """Write down what a dispute is now; its booking is frozen, goes on, or ends."""
    args = lease.task.args
    with lease.transaction() as conn:
        case = disputes.find_case(conn, args["payment_id"])
    dispute = dispute_of(gateway.look_at_dispute(case, args["dispute_id"]))
    with lease.transaction() as conn:
        booking_state = disputes.record_dispute(conn, case, dispute)
        if booking_state:
            lease.finish(conn)
    if booking_state is None:
        raise TryLater(2, "the booking is still being confirmed")
    log.warning(
        "a payment is disputed",
        dispute_id=dispute.id,
        state=dispute.state,
        reason=dispute.reason,
        amount=dispute.amount,
        currency=dispute.currency,
        respond_by=str(dispute.respond_by),
        booking_state=booking_state,
    )


def dispute_of(found: Any) -> Dispute:
    """A Dispute in our words."""
    due = found.evidence_details.due_by if found.evidence_details else None
    return Dispute(
        id=found.id,
        state=found.status,
        reason=found.reason,
        amount=found.amount,
        currency=found.currency.upper(),
        respond_by=datetime.fromtimestamp(due, UTC) if due else None,
    )
