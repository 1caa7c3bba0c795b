"""Stripe's PaymentIntents and disputes. Creating a payment has a stable idempotency key."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe
from stripe.params import PaymentIntentListParams

from db.payments.circuits import Slot
from db.payments.disputes import Case, Dispute
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.payments.reviews import NO_FACTS, Facts
from db.presentation.gateway_words import PAYMENT_STATES
from tasks.durable.leases import TryLater
from tasks.gateways.circuit_breaker import is_replay
from tasks.gateways.errors import NothingHappened, Refused, ReplayedFailure
from tasks.gateways.stripe import client as calls
from tasks.gateways.stripe.client import LOOK_AGAIN, call, client, pages
from tasks.gateways.stripe.refunds import look_at_refund, refund

__all__ = [
    "authorise",
    "cancel",
    "capture",
    "look",
    "look_at_dispute",
    "look_at_refund",
    "refund",
    "take_slots",
]


ENDPOINTS = {"authorise": "create", "capture": "capture"}


def take_slots(account_id: int, step: str, count: int) -> list[Slot]:
    """Take slots for the calls of a group: see tasks/gateways/registry.py."""
    return calls.take_slots(account_id, ENDPOINTS[step], count)


def authorise(progress: PaymentProgress, slot: Slot | None = None) -> PaymentOutcome:
    """Authorise the payment, or return the outcome of an earlier try.

    Errors: as tasks/gateways/errors.py says; NothingHappened when the key is spent and the
    payment must be sent under the next.
    """
    if progress.key_too_old:
        return find(progress)
    key = f"{progress.payment_id}:{progress.idempotency_n}"
    try:
        made = call(
            progress,
            "create",
            lambda: client(progress).raw_request(
                "post", "/v1/payment_intents", **progress.params, idempotency_key=key
            ),
            slot=slot,
        )
    except stripe.CardError as error:
        return declined(error)
    except ReplayedFailure:
        return find(progress)
    if is_replay(made.headers):  # the object as it was when it was made
        return retrieve(progress, made.data["id"])
    return outcome_of(made.data)


def look(progress: PaymentProgress) -> PaymentOutcome:
    """The payment's present state.

    Errors: NothingHappened when Stripe does not know it, and never will.
    """
    if progress.gateway_ref is None:
        try:
            return find(progress)
        except NothingHappened:
            if progress.just_sent:
                raise TryLater(LOOK_AGAIN, "a request may still be on its way") from None
            raise
    return retrieve(progress, progress.gateway_ref)


def retrieve(progress: PaymentProgress, gateway_ref: str) -> PaymentOutcome:
    intent = call(
        progress,
        "retrieve",
        lambda: client(progress).v1.payment_intents.retrieve(
            gateway_ref, {"expand": ["latest_charge"]}
        ),
    )
    return outcome_of(intent.to_dict())


def find(progress: PaymentProgress) -> PaymentOutcome:
    """Find a payment by our id in its metadata, among those made while it was being sent.

    The window is a minute longer on both sides, for different clocks and late answers.
    """
    assert progress.first_sent_at is not None and progress.last_sent_at is not None
    wanted: PaymentIntentListParams = {
        "created": {
            "gte": int((progress.first_sent_at - timedelta(minutes=1)).timestamp()),
            "lte": int((progress.last_sent_at + timedelta(minutes=1)).timestamp()),
        },
        "limit": 100,
        "expand": ["data.latest_charge"],
    }
    for intent in pages(progress, "list", lambda: client(progress).v1.payment_intents.list(wanted)):
        if intent.metadata.to_dict().get("payment_id") == str(progress.payment_id):
            return outcome_of(intent.to_dict())
    raise NothingHappened


def capture(progress: PaymentProgress, slot: Slot | None = None) -> PaymentOutcome:
    """Capture the whole authorised amount. A payment that is captured already is returned."""
    assert progress.gateway_ref is not None
    return changed(progress, "capture", progress.gateway_ref, slot)


def cancel(progress: PaymentProgress, gateway_ref: str) -> PaymentOutcome:
    """Make sure that the payment can never succeed; if it is too late, return its state."""
    return changed(progress, "cancel", gateway_ref)


def changed(
    progress: PaymentProgress, change: str, gateway_ref: str, slot: Slot | None = None
) -> PaymentOutcome:
    """The outcome of a change that the payment's state may not allow any more.

    The request has no idempotency key: an intent can be captured or cancelled only once, and with a
    key the gateway would repeat a failure for a day.
    """
    path = f"/v1/payment_intents/{gateway_ref}/{change}"
    try:
        made = call(progress, change, lambda: client(progress).raw_request("post", path), slot=slot)
        return outcome_of(made.data)
    except stripe.CardError:
        pass
    except Refused as refused:
        if refused.details.get("code") not in TOO_LATE:
            raise
    return look(progress)


TOO_LATE = ("payment_intent_unexpected_state", "charge_expired_for_capture")


def declined(error: stripe.CardError) -> PaymentOutcome:
    """The outcome of a decline: the payment failed, for the reason that the bank gives."""
    details = error.error
    intent = getattr(details, "payment_intent", None) if details else None
    return PaymentOutcome(
        state="failed",
        gateway_ref=intent["id"] if intent else "",
        amount=intent["amount"] if intent else 0,
        currency=intent["currency"].upper() if intent else "",
        failure_code=getattr(details, "decline_code", None) or error.code,
        failure_message=error.user_message,
        facts=facts_of(intent.to_dict()) if intent else NO_FACTS,
    )


def outcome_of(intent: dict[str, Any]) -> PaymentOutcome:
    """Translate a PaymentIntent."""
    trouble = intent.get("last_payment_error") or {}
    return PaymentOutcome(
        state=PAYMENT_STATES[intent["status"]],
        gateway_ref=intent["id"],
        amount=intent["amount"],
        currency=intent["currency"].upper(),
        captured=intent.get("amount_received") or 0,
        next_action=intent.get("next_action"),
        client_secret=intent.get("client_secret"),
        failure_code=trouble.get("decline_code") or trouble.get("code"),
        failure_message=trouble.get("message"),
        facts=facts_of(intent),
    )


def facts_of(intent: dict[str, Any]) -> Facts:
    """The card and Radar's risk level, as far as Stripe tells them."""
    charge = intent.get("latest_charge")
    if not isinstance(charge, dict):  # a failed charge is not expanded, but its card is there
        tried = (intent.get("last_payment_error") or {}).get("payment_method") or {}
        card = tried.get("card") or {}
        return Facts(card_fingerprint=card.get("fingerprint"), card_last4=last4_of(card))
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    outcome = charge.get("outcome") or {}
    lapses = card.get("capture_before")
    return Facts(
        card_fingerprint=card.get("fingerprint"),
        card_last4=last4_of(card),
        card_country=card.get("country"),
        card_checks=card.get("checks"),
        risk_level=outcome.get("risk_level"),
        risk_score=outcome.get("risk_score"),
        risk_message=outcome.get("seller_message"),
        gateway_review=outcome.get("type") == "manual_review",
        capture_before=datetime.fromtimestamp(lapses, UTC) if lapses else None,
    )


def last4_of(card: dict[str, Any]) -> int | None:
    """The last four digits of the card's number; None: they are not told."""
    last4 = card.get("last4")
    return int(last4) if isinstance(last4, str) and re.fullmatch("[0-9]{4}", last4) else None


def look_at_dispute(case: Case, dispute_id: str) -> Dispute:
    """The dispute's present state."""
    found = call(case, "retrieve dispute", lambda: client(case).v1.disputes.retrieve(dispute_id))
    due = found.evidence_details.due_by if found.evidence_details else None
    return Dispute(
        id=found.id,
        state=found.status,
        reason=found.reason,
        amount=found.amount,
        currency=found.currency.upper(),
        respond_by=datetime.fromtimestamp(due, UTC) if due else None,
    )
