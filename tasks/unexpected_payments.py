"""Unexpected payments: money that came too late, or not in the sum that was asked for, so that no
booking has a claim to it. All of it is refunded automatically, once.
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
    """Stop a payment that was recorded as failed but goes on at the gateway; refund its money."""
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
    """Accept only the sum that was asked for. Another sum that is authorised is voided; another sum
    that was captured makes the payment failed, and is refunded.
    """
    if outcome.state not in ("authorised", "captured") or is_as_asked(progress, outcome):
        return outcome
    amount = sum_of(outcome)
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


def is_as_asked(progress: PaymentProgress, outcome: PaymentOutcome) -> bool:
    """Whether the gateway has the sum that it was asked for."""
    asked = (progress.amount, progress.payment_currency)
    return (sum_of(outcome), outcome.currency) == asked


def sum_of(outcome: PaymentOutcome) -> int:
    """The sum that was captured or, before that, authorised."""
    return outcome.captured if outcome.state == "captured" else outcome.amount


def refund_refused(
    lease: Lease, conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome
) -> None:
    """Refund what `refuse_unexpected` refused, and add a dead letter, since the payment was changed
    at the gateway."""
    if outcome.failure_code == OTHER_SUM:
        payments.refund_unexpected(conn, progress, OTHER_SUM)
        lease.add_dead_letter(conn, f"WrongMoney: {outcome.failure_message}")
