"""Disputes: after each notification, read the dispute from the gateway. Fraud warnings come before
a dispute is opened."""

import structlog

from db.payments import disputes
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater
from tasks.gateways.registry import gateway_of

log = structlog.get_logger()


@durable(queue="payments", keep=True)
def look_at_dispute(lease: Lease) -> None:
    """Record a dispute's state; its booking is frozen, unfrozen or ended."""
    args = lease.task.args
    with lease.transaction() as conn:
        case = disputes.find_case(conn, args["payment_id"])
    dispute = gateway_of(case).look_at_dispute(case, args["dispute_id"])
    reach("after dispute is read")
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


@durable(queue="payments", keep=True)
def freeze_for_fraud_warning(lease: Lease) -> None:
    """Freeze a booking because of a fraud warning, until the organiser has decided."""
    args = lease.task.args
    with lease.transaction() as conn:
        event_id, payment_id = args["event_id"], args["payment_id"]
        booking_state = disputes.freeze_for_fraud_warning(conn, event_id, payment_id)
        if booking_state:
            lease.finish(conn)
    if booking_state is None:
        raise TryLater(2, "the booking is still being confirmed")
    log.warning("fraud warning", booking_state=booking_state)
