"""Refunds at Stripe."""

from typing import Any

import stripe

from db.payments.refunds import RefundOutcome, RefundProgress
from db.presentation.gateway_words import REFUND_STATES
from tasks.durable.leases import TryLater
from tasks.gateways.errors import NothingHappened, Refused, ReplayedFailure
from tasks.gateways.stripe.client import LOOK_AGAIN, OfAccount, call, client, pages, replayed


def refund(progress: RefundProgress) -> RefundOutcome:
    """Refund the money, or return the outcome of an earlier try.

    Errors: as tasks/gateways/errors.py says; NothingHappened when the key is spent and the
    refund must be sent under the next.
    """
    if progress.gateway_ref:
        return look_at_refund(progress, progress.gateway_ref)
    if progress.key_too_old:
        if progress.just_sent:
            raise TryLater(LOOK_AGAIN, "a request may still be on its way")
        return find(progress)
    key = f"{progress.refund_id}:{progress.idempotency_n}"
    try:
        made = call(
            progress,
            "refund",
            lambda: client(progress).v1.refunds.create(
                progress.params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            ),
        )
    except ReplayedFailure:
        return find(progress)
    except Refused as refused:
        return refusal(progress, refused)
    return look_at_refund(progress, made.id) if replayed(made) else outcome_of(made)


def look_at_refund(paid: OfAccount, gateway_ref: str) -> RefundOutcome:
    """The refund's present state."""
    return outcome_of(
        call(paid, "retrieve refund", lambda: client(paid).v1.refunds.retrieve(gateway_ref))
    )


def find(progress: RefundProgress) -> RefundOutcome:
    """Find a refund by our id in its metadata, among all refunds of its payment. (A list is up to
    date at once, unlike a search.) Errors: NothingHappened.
    """

    for each in pages(
        progress,
        "list refunds",
        lambda: client(progress).v1.refunds.list(
            {"payment_intent": progress.payment_gateway_ref, "limit": 100}
        ),
    ):
        if each.metadata and each.metadata.to_dict().get("refund_id") == str(progress.refund_id):
            return outcome_of(each)
    raise NothingHappened


def refusal(progress: RefundProgress, refused: Refused) -> RefundOutcome:
    """The outcome when Stripe refuses, for example because a bank already has the money back: the
    refund has failed, unless an earlier try succeeded. Errors: Refused, when the reason is our key
    or our rights.
    """
    why = refused.__cause__
    if not isinstance(why, stripe.InvalidRequestError):
        raise refused
    try:
        return find(progress)
    except NothingHappened:
        return RefundOutcome(
            "failed", None, progress.amount, progress.currency, why.code or "refused", str(refused)
        )


def outcome_of(made: Any) -> RefundOutcome:
    """Translate a Refund."""
    return RefundOutcome(
        state=REFUND_STATES[made.status],
        gateway_ref=made.id,
        amount=made.amount,
        currency=made.currency.upper(),
        failure_code=getattr(made, "failure_reason", None),
    )
