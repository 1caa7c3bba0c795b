"""Unexpected payments: money that came although no booking has a claim to it, because it is too
late or not the sum that was asked for. All of it goes back by itself, once.
"""

from dataclasses import replace

import structlog

from db.connections import Conn
from db.payments import payments
from db.payments.payments import PaymentOutcome, PaymentProgress
from tasks.attempts import NOT_YET, still_processing, stop_for_good
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, MovedOn, TryLater
from tasks.gateways.registry import gateway_of

log = structlog.get_logger()

TOO_LATE, OTHER_SUM = "late_money", "wrong_money"
"""Failure codes of payments, and reasons of their refunds."""


@durable(queue="payments", lease=120, longest_delay=300, keep=True)
def stop_unexpected(lease: Lease) -> None:
    """Stop a payment that was recorded as failed and went on all the same; refund what it took."""
    args = lease.task.args
    with lease.transaction() as conn:
        progress = payments.get_progress(
            conn, args["event_id"], args["booking_id"], args["payment_id"]
        )
    outcome = stop_for_good(progress)
    if outcome.state == "processing":
        raise still_processing(progress)
    with lease.transaction() as conn:
        if outcome.captured:
            late = replace(outcome, state="failed", failure_code=TOO_LATE)
            if not payments.record(conn, progress, late):
                raise MovedOn
            payments.refund_unexpected(conn, progress, TOO_LATE)
        lease.finish(conn)


def refuse_unexpected(progress: PaymentProgress, outcome: PaymentOutcome) -> PaymentOutcome:
    """Accept nothing but what was asked for. Another sum that the gateway holds is voided here; one
    that it took is a failure, to be refunded.
    """
    if outcome.state not in ("authorised", "captured"):
        return outcome
    amount = outcome.captured if outcome.state == "captured" else outcome.amount
    if (amount, outcome.currency) == (progress.amount, progress.payment_currency):
        return outcome
    wrong = (
        f"asked for {progress.amount} {progress.payment_currency}, "
        f"the gateway has {amount} {outcome.currency}"
    )
    log.error("unexpected payment", error=wrong, state=outcome.state)
    if outcome.state == "authorised":
        outcome = gateway_of(progress).cancel(progress, outcome.gateway_ref)
    if outcome.state not in ("voided", "captured"):
        raise TryLater(NOT_YET, "the gateway has not cancelled yet")
    state = "voided" if outcome.state == "voided" else "failed"
    return replace(outcome, state=state, failure_code=OTHER_SUM, failure_message=wrong)


def refund_refused(
    lease: Lease, conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome
) -> None:
    """Refund what `refuse_unexpected` refused, and call a person: our payment was changed at the
    gateway."""
    if outcome.failure_code == OTHER_SUM:
        payments.refund_unexpected(conn, progress, OTHER_SUM)
        lease.call_out(conn, f"WrongMoney: {outcome.failure_message}")
