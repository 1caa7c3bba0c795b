"""Stripe, as the saga sees it: what a payment is now, and the few things that can be done to it.

Every call is outside any transaction, takes its turn at the endpoint and passes the circuit
breaker; what may be done only once has a stable idempotency key. Four kinds of trouble are told
apart: declined (an Outcome like any other), Refused (permanent), UnknownOutcome (the call may have
done its work) and TryLater (nothing was done).
"""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, Protocol

import stripe
import structlog
from stripe.params import PaymentIntentListParamsCreated

from db import payments
from db.connections import refuse_transaction, transaction
from db.errors import UsherError
from db.payments import Outcome, Progress
from db.settings import settings
from tasks.breaker import breaker_for
from tasks.durable import TryLater

log = structlog.get_logger()

PATIENCE = 5
"""Seconds that a call waits for its turn before its task is handed back instead: with the call
itself (13 s) less than the 25 s that a worker has to end in good order."""

STATES = {
    "requires_action": "requires_action",
    "requires_capture": "authorised",
    "succeeded": "captured",
    "canceled": "voided",
    "requires_payment_method": "failed",
    "requires_confirmation": "failed",
    "processing": "processing",
}
"""Stripe's words for a payment, and ours."""


class OfAccount(Protocol):
    """Anything of which it is known through whose account it is paid."""

    @property
    def gateway_account_id(self) -> int: ...


class Refused(UsherError):
    """The gateway refused the request as it is; repeating it cannot help."""


class UnknownOutcome(UsherError):
    """The gateway's answer did not arrive: it may have done what it was asked."""

    permanent = False


class NothingHappened(UsherError):
    """Known for sure: the gateway did nothing under the present key, and will not any more."""

    permanent = False


def authorise(progress: Progress) -> Outcome:
    """Reserve the money on the buyer's card, or find out what became of an earlier try to.

    Errors: as above; NothingHappened when the key is spent and the payment must be sent under
    the next.
    """
    if progress.key_too_old:
        return find(progress)
    key = f"{progress.payment_id}:{progress.idempotency_n}"
    try:
        intent = call(
            progress,
            "create",
            lambda: client().v1.payment_intents.create(
                progress.params,  # type: ignore[arg-type]
                {"idempotency_key": key},
            ),
        )
    except stripe.CardError as error:
        return declined(error)
    except ReplayedFailure:
        return find(progress)
    return outcome_of(intent)


def look(progress: Progress) -> Outcome:
    """What the payment is now.

    Errors: NothingHappened when the gateway has never heard of it, and will not any more.
    """
    if progress.gateway_id is None:
        try:
            return find(progress)
        except NothingHappened:
            if progress.just_sent:
                raise TryLater(15, "a request may still be on its way") from None
            raise
    gateway_id = progress.gateway_id
    intent = call(progress, "retrieve", lambda: client().v1.payment_intents.retrieve(gateway_id))
    return outcome_of(intent)


def find(progress: Progress) -> Outcome:
    """Look a payment up by our id in its metadata, among those made while it was being sent.

    A minute more on both sides, for clocks that differ and answers that were late.
    """
    assert progress.first_sent_at is not None and progress.last_sent_at is not None
    window: PaymentIntentListParamsCreated = {
        "gte": int((progress.first_sent_at - timedelta(minutes=1)).timestamp()),
        "lte": int((progress.last_sent_at + timedelta(minutes=1)).timestamp()),
    }

    def search() -> Any:
        page = client().v1.payment_intents.list({"created": window, "limit": 100})
        ours = (
            intent
            for intent in page.auto_paging_iter()
            if intent.metadata.to_dict().get("payment_id") == str(progress.payment_id)
        )
        return next(ours, None)

    intent = call(progress, "list", search)
    if intent is None:
        raise NothingHappened
    return outcome_of(intent)


def probe(account_id: int) -> None:
    """A call that changes nothing. Errors: GatewayAway, stripe.StripeError."""
    refuse_transaction()
    with breaker_for(account_id).calling():
        client().v1.payment_intents.list({"limit": 1})


def capture(progress: Progress) -> Outcome:
    """Take the money that was reserved, whole. What it already is, if it is that already."""
    assert progress.gateway_id is not None
    gateway_id = progress.gateway_id
    return changed(progress, "capture", lambda: client().v1.payment_intents.capture(gateway_id))


def look_at_dispute(case: OfAccount, dispute_id: str) -> Any:
    """Stripe's Dispute, as it is now."""
    return call(case, "retrieve", lambda: client().v1.disputes.retrieve(dispute_id))


def cancel(progress: Progress, gateway_id: str) -> Outcome:
    """Make sure that the payment can never succeed. What it is instead, if that is too late."""
    return changed(progress, "cancel", lambda: client().v1.payment_intents.cancel(gateway_id))


def changed(progress: Progress, endpoint: str, request: Callable[[], Any]) -> Outcome:
    """The outcome of a request for a change that the payment's state may not allow any more.

    Without a key of ours: an intent can be captured, or cancelled, only once, and under one key the
    gateway would repeat a failure for a day.
    """
    try:
        return outcome_of(call(progress, endpoint, request))
    except stripe.CardError:
        pass
    except Refused as refused:
        if refused.details.get("code") not in TOO_LATE:
            raise
    return look(progress)


TOO_LATE = ("payment_intent_unexpected_state", "charge_expired_for_capture")


class ReplayedFailure(UnknownOutcome):
    """The gateway repeats, under the same key, that it failed: asking again cannot tell more."""


def call(progress: OfAccount, endpoint: str, request: Callable[[], Any]) -> Any:
    """One call to the gateway, in turn. Errors: as this module says, and stripe.CardError."""
    refuse_transaction()
    wait_for_turn(progress.gateway_account_id, endpoint)
    try:
        with breaker_for(progress.gateway_account_id).calling():
            return request()
    except stripe.CardError:
        raise
    except stripe.RateLimitError as error:
        raise TryLater(2, f"rate limited: {error.user_message}") from error
    except stripe.IdempotencyError as error:
        raise Refused(str(error)) from error
    except stripe.APIConnectionError as error:
        raise UnknownOutcome(str(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("the gateway does not accept our key: see STRIPE_API_KEY", error=str(error))
        raise TryLater(30, "the gateway does not accept our key") from error
    except stripe.InvalidRequestError as error:
        raise Refused(str(error), code=error.code) from error
    except stripe.StripeError as error:
        raise failure(error) from error


def failure(error: stripe.StripeError) -> UsherError:
    """A 5xx, or a 409: another request with this key is still under way."""
    if error.http_status == 409:
        return TryLater(2, "the same request is still under way")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if headers.get("idempotent-replayed") == "true":
        return ReplayedFailure(str(error))
    return UnknownOutcome(str(error))


def wait_for_turn(account_id: int, endpoint: str) -> None:
    """Keep to the gateway's limit, all workers together."""
    with transaction() as conn:
        limit = settings().gateway_limit
        seconds = payments.take_turn(conn, account_id, endpoint, limit, PATIENCE)
    if seconds is None:
        raise TryLater(PATIENCE, "the gateway's limit is used up for now")
    time.sleep(seconds)


def declined(error: stripe.CardError) -> Outcome:
    """A decline is an answer: the payment failed, for the reason that the bank gives."""
    details = error.error
    intent = getattr(details, "payment_intent", None) if details else None
    return Outcome(
        state="failed",
        gateway_id=intent["id"] if intent else "",
        amount=intent["amount"] if intent else 0,
        currency=intent["currency"].upper() if intent else "",
        failure_code=getattr(details, "decline_code", None) or error.code,
        failure_message=error.user_message,
    )


def outcome_of(intent: Any) -> Outcome:
    """A PaymentIntent in our words."""
    trouble = intent.last_payment_error.to_dict() if intent.last_payment_error else {}
    return Outcome(
        state=STATES[intent.status],
        gateway_id=intent.id,
        amount=intent.amount,
        currency=intent.currency.upper(),
        captured=intent.amount_received or 0,
        next_action=intent.next_action.to_dict() if intent.next_action else None,
        client_secret=intent.client_secret,
        failure_code=trouble.get("decline_code") or trouble.get("code"),
        failure_message=trouble.get("message"),
    )


@cache
def client() -> stripe.StripeClient:
    """Stripe's client: short timeouts, and no retries behind our back."""
    return stripe.StripeClient(
        settings().stripe_api_key,
        base_addresses={"api": settings().stripe_api_base},
        http_client=stripe.RequestsClient(timeout=(3, 10)),
        max_network_retries=0,
    )
