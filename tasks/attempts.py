"""End a payment attempt at the gateway."""

from dataclasses import replace

from db.payments.payments import PaymentOutcome, PaymentProgress
from db.runtime.errors import UsherError
from tasks.durable.leases import TryLater
from tasks.gateways.errors import NothingHappened
from tasks.gateways.registry import gateway_of

NOT_YET = 5
"""Seconds until the gateway is asked again about a change that it has not made yet."""
PROCESSING_CARD, PROCESSING_DEBIT = 10, 300
"""Seconds until the gateway is asked about a payment in processing, also without a notification."""


class StillProcessing(UsherError):
    """The gateway has been processing a payment for far too long."""


def stop(progress: PaymentProgress, *, spare_authorised: bool) -> PaymentOutcome:
    """Cancel the payment, unless it succeeded. A payment that was never sent has failed."""
    never = PaymentOutcome("failed", "", 0, "", failure_code="not_sent")
    if progress.first_sent_at is None:
        return never
    try:
        outcome = gateway_of(progress).look(progress)
    except NothingHappened:
        return never
    done = ("voided", "captured", "authorised") if spare_authorised else ("voided", "captured")
    if outcome.state in done:
        return outcome
    cancelled = gateway_of(progress).cancel(progress, outcome.gateway_ref)
    return replace(cancelled, was_authorised=outcome.state == "authorised")


def stop_for_good(progress: PaymentProgress) -> PaymentOutcome:
    """Make sure that the payment holds no authorisation. What was captured has to be refunded; what
    is still in processing may have to be."""
    outcome = stop(progress, spare_authorised=False)
    if outcome.state not in ("voided", "failed", "captured", "processing"):
        raise TryLater(NOT_YET, "the gateway has not cancelled yet")
    return outcome


def stop_failed(progress: PaymentProgress, outcome: PaymentOutcome) -> PaymentOutcome:
    """Cancel a failed payment, since a browser could try it again until then."""
    if outcome.state != "failed":
        return outcome
    cancelled = gateway_of(progress).cancel(progress, outcome.gateway_ref)
    return outcome if cancelled.state == "voided" else cancelled


def still_processing(progress: PaymentProgress) -> UsherError:
    """The error to raise: the task tries later, or becomes a dead letter."""
    if progress.overdue:
        return StillProcessing(f"{progress.method}: see payment {progress.gateway_ref}")
    seconds = PROCESSING_CARD if progress.can_be_authorised else PROCESSING_DEBIT
    return TryLater(seconds, "the gateway is still processing the payment")
