"""Calls to Stripe: each takes a slot of its endpoint and passes the circuit breaker, and its errors
become those of tasks/gateways/errors.py."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import stripe
import structlog

from db.connections import autocommit, refuse_transaction
from db.payments import circuits
from db.payments.circuits import Priority, Slot
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from db.runtime.sealing import CannotOpen
from db.runtime.settings import settings
from tasks.durable.leases import TryLater
from tasks.gateways.circuit_breaker import GatewayAway, calling, is_access_lost, is_replay
from tasks.gateways.errors import Refused, ReplayedFailure, UnknownOutcome
from tasks.gateways.stripe import accounts
from tasks.gateways.stripe.accounts import NoKey, client_of

log = structlog.get_logger()

LONGEST_WAIT = 5
"""Seconds that a call waits for its slot before its task is handed back instead. With the call
itself (13 s) this is less than the 25 s that a worker has for stopping."""

LOOK_AGAIN = 15
"""Seconds until an object is searched for again whose request may still arrive."""

KEY_REFUSED = 30
"""Seconds until a task runs again whose call had a key that the gateway does not accept."""

PAUSE = 1
"""Seconds without calls to an endpoint after its rate limit was exceeded."""

RECONCILE = Priority(book=-0.2, wait=0)
"""The priority of reconciliation: after all others."""

PRIORITIES = {
    "capture": Priority(book=LONGEST_WAIT, wait=LONGEST_WAIT),
    "cancel": Priority(book=2, wait=LONGEST_WAIT),
    "retrieve": Priority(book=1, wait=LONGEST_WAIT),
    "list": Priority(book=1, wait=LONGEST_WAIT),
    "create": Priority(book=0.5, wait=LONGEST_WAIT),
    "refund": Priority(book=-0.125, wait=0.5),
    "retrieve refund": Priority(book=-0.125, wait=0.5),
    "list refunds": Priority(book=-0.125, wait=0.5),
    "retrieve dispute": Priority(book=-0.125, wait=0.5),
}
"""Priorities by endpoint, highest first. Captures and cancellations come first, since money and
seats wait for them; then the calls that read a payment, since they lead to these; then new
payments, then refunds. The fuller the account's bucket is booked, the fewer calls may book more."""


class OfAccount(Protocol):
    """Anything with the gateway account through which it is paid."""

    @property
    def gateway_account_id(self) -> int: ...


@dataclass(frozen=True)
class Account:
    """A gateway account alone, without anything that is paid through it."""

    gateway_account_id: int


def call(
    paid: OfAccount,
    endpoint: str,
    request: Callable[[], Any],
    priority: Priority | None = None,
    slot: Slot | None = None,
) -> Any:
    """Make one call when it has a slot. Errors: those of tasks/gateways/errors.py, and
    stripe.CardError.

    priority: overrides the endpoint's own. slot: taken beforehand, see take_slots.
    """
    refuse_transaction()
    account_id = paid.gateway_account_id
    if slot is None:
        (slot,) = take_slots(account_id, endpoint, priority=priority)
    wait_for(account_id, slot)
    try:
        with calling(account_id, slot):
            reach("before call")
            answer = request()
            reach("after call")
            return answer
    except stripe.CardError:
        raise
    except stripe.StripeError as error:
        raise tell_apart(account_id, endpoint, error) from error
    except (NoKey, CannotOpen) as error:
        raise refuse_key(account_id, error, lost=True) from error


def tell_apart(account_id: int, endpoint: str, error: stripe.StripeError) -> UsherError:
    """An error in the words of tasks/gateways/errors.py."""
    match error:
        case stripe.RateLimitError():
            return rate_limited(account_id, endpoint, error)
        case stripe.IdempotencyError():
            return Refused(str(error))
        case stripe.APIConnectionError():
            return UnknownOutcome(str(error))
        case stripe.AuthenticationError() | stripe.PermissionError():
            return refuse_key(account_id, error, lost=is_access_lost(error))
        case stripe.InvalidRequestError():
            return Refused(str(error), code=error.code)
    return failure(error)


def refuse_key(account_id: int, error: Exception, *, lost: bool) -> TryLater:
    """The error for a key that the gateway does not accept, or that may not do this. lost: it is
    not accepted at all; the account's lanes pause until a probe succeeds. Nothing is declined."""
    if lost and not accounts.has_changed(account_id):
        with autocommit() as conn:
            circuits.refuse_key(conn, account_id)
    log.error(
        "the gateway does not accept the key of an account: see its keys, or STRIPE_API_KEY",
        gateway_account_id=account_id,
        error=str(error),
    )
    return TryLater(KEY_REFUSED * settings().task_pace, "the gateway does not accept our key")


def rate_limited(account_id: int, endpoint: str, error: stripe.RateLimitError) -> TryLater:
    """The error for a 429: nothing was done. If the rate limit was exceeded, all workers pause.
    (The other 429 means that another request has locked the object.)"""
    if getattr(error.error, "code", None) != "lock_timeout":
        with autocommit() as conn:
            circuits.pause_slots(conn, account_id, endpoint, PAUSE)
    return TryLater(random.uniform(0, 4 * PAUSE), f"rate limited: {error.user_message}")


def failure(error: stripe.StripeError) -> UsherError:
    """The error for a 5xx; or for a 409: another request with this key is still under way."""
    if error.http_status == 409:
        return TryLater(random.uniform(0, 4), "the same request is still under way")
    if is_replay(error.headers):
        return ReplayedFailure(str(error))
    return UnknownOutcome(str(error))


def replayed(made: stripe.StripeObject) -> bool:
    """Whether the gateway repeats an earlier answer: the object as it was when it was made."""
    response = made.last_response
    assert isinstance(response, stripe.StripeResponse)
    return is_replay(response.headers)


def take_slots(
    account_id: int, endpoint: str, count: int = 1, priority: Priority | None = None
) -> list[Slot]:
    """Take slots of the rate limit that all workers share, for so many calls to an endpoint."""
    with autocommit() as conn:
        by = priority or PRIORITIES[endpoint]
        return circuits.take_slots(conn, account_id, endpoint, by, count)


def wait_for(account_id: int, slot: Slot) -> None:
    """Wait until the time of a slot. Errors: TryLater, GatewayAway."""
    if slot.state == "open":
        raise GatewayAway(slot.seconds or 0)
    if slot.seconds is None:
        # A call that cannot wait here returns when others have had their slots.
        seconds = random.uniform(0, 2 * LONGEST_WAIT)
        raise TryLater(seconds, "no slot within the gateway's rate limit")
    if slot.seconds:
        time.sleep(slot.seconds)
        with autocommit() as conn:
            if circuits.has_opened(conn, account_id):
                raise GatewayAway


def pages(
    paid: OfAccount,
    endpoint: str,
    first: Callable[[], stripe.ListObject[Any]],
    priority: Priority | None = None,
) -> Iterator[Any]:
    """All objects of a list; each page is a call with a slot of its own."""
    page = call(paid, endpoint, first, priority)
    yield from page
    while page.has_more:
        page = call(paid, endpoint, page.next_page, priority)
        yield from page


def probe(account_id: int) -> None:
    """Make a call that changes nothing; the circuit breaker records the outcome."""
    account = Account(account_id)
    with suppress(UsherError):
        call(
            account,
            "list",
            lambda: client(account).v1.payment_intents.list({"limit": 1}),
        )


def client(paid: OfAccount) -> stripe.StripeClient:
    """Stripe's client for the account through which it is paid."""
    return client_of(paid.gateway_account_id)
