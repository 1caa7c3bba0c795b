"""One call to Stripe: it takes its turn at the endpoint, passes the circuit breaker, and its errors
are told apart as tasks/gateways/errors.py says."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import requests
import stripe
import structlog
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from db.connections import autocommit, refuse_transaction
from db.payments import circuits
from db.payments.circuits import Priority, Turn
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.durable.leases import TryLater
from tasks.gateways.circuit_breaker import GatewayAway, calling, is_replay
from tasks.gateways.errors import Refused, ReplayedFailure, UnknownOutcome

log = structlog.get_logger()

LONGEST_WAIT = 5
"""Seconds that a call waits for its turn before its task is handed back instead: with the call
itself (13 s) less than the 25 s that a worker has to end in good order."""


CONNECTIONS = 100
"""Kept open to the gateway by one process, at most: as many as it may have threads."""

ON_ITS_WAY = 15
"""Seconds until a thing is looked for again, whose request may still arrive."""

PAUSE = 1
"""Seconds without calls to an endpoint that was called too often."""

RECONCILE = Priority(book=-0.2, wait=0)
"""For whoever compares books: after all others."""

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
"""By endpoint, the first first: money that is reserved, and seats that wait for it, come before new
bookings, and those before money that goes back. What finds out how a payment went leads to the
first two. The fuller the account's bucket is booked, the fewer of them may book more."""


class OfAccount(Protocol):
    """Anything of which it is known through whose account it is paid."""

    @property
    def gateway_account_id(self) -> int: ...


@dataclass(frozen=True)
class Account:
    """A gateway account and nothing that is paid through it."""

    gateway_account_id: int


def call(
    paid: OfAccount, endpoint: str, request: Callable[[], Any], priority: Priority | None = None
) -> Any:
    """One call to the gateway, in turn. Errors: as tasks/gateways/errors.py says, and
    stripe.CardError.

    priority: other than the endpoint's own.
    """
    refuse_transaction()
    account_id = paid.gateway_account_id
    turn = wait_for_turn(account_id, endpoint, priority or PRIORITIES[endpoint])
    try:
        with calling(account_id, turn):
            reach("before call")
            answer = request()
            reach("after call")
            return answer
    except stripe.CardError:
        raise
    except stripe.RateLimitError as error:
        raise rate_limited(account_id, endpoint, error) from error
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


def rate_limited(account_id: int, endpoint: str, error: stripe.RateLimitError) -> TryLater:
    """Nothing was done. Calls too often: all workers pause. (The other 429 is about one object,
    which another request has locked.)"""
    if getattr(error.error, "code", None) != "lock_timeout":
        with autocommit() as conn:
            circuits.pause_turns(conn, account_id, endpoint, PAUSE)
    return TryLater(random.uniform(0, 4 * PAUSE), f"rate limited: {error.user_message}")


def failure(error: stripe.StripeError) -> UsherError:
    """A 5xx, or a 409: another request with this key is still under way."""
    if error.http_status == 409:
        return TryLater(random.uniform(0, 4), "the same request is still under way")
    if is_replay(error.headers):
        return ReplayedFailure(str(error))
    return UnknownOutcome(str(error))


def replayed(made: stripe.StripeObject) -> bool:
    """Whether the gateway repeats what it answered before: the thing as it was when it was made."""
    response = made.last_response
    assert isinstance(response, stripe.StripeResponse)
    return is_replay(response.headers)


def wait_for_turn(account_id: int, endpoint: str, priority: Priority) -> Turn:
    """Keep to the gateway's limits, all workers together. Errors: TryLater, GatewayAway."""
    with autocommit() as conn:
        turn = circuits.take_turn(conn, account_id, endpoint, priority)
    if turn.seconds is None:
        # A call that may not wait here comes back when others have had their slots.
        seconds = random.uniform(0, 2 * LONGEST_WAIT)
        raise TryLater(seconds, "the gateway's limit is used up for now")
    if turn.state == "open":
        raise GatewayAway(turn.seconds)
    if turn.seconds:
        time.sleep(turn.seconds)
        with autocommit() as conn:
            if circuits.has_opened(conn, account_id):
                raise GatewayAway
    return turn


def pages(
    paid: OfAccount,
    endpoint: str,
    first: Callable[[], stripe.ListObject[Any]],
    priority: Priority | None = None,
) -> Iterator[Any]:
    """All objects of a list, each page of which is a call with a turn of its own."""
    page = call(paid, endpoint, first, priority)
    yield from page
    while page.has_more:
        page = call(paid, endpoint, page.next_page, priority)
        yield from page


def probe(account_id: int) -> None:
    """A call that changes nothing; the circuit breaker writes down how it went."""
    with suppress(UsherError):
        call(
            Account(account_id),
            "list",
            lambda: client().v1.payment_intents.list({"limit": 1}),
        )


@cache
def client() -> stripe.StripeClient:
    """Stripe's client: short timeouts, and no retries behind our back."""
    return stripe.StripeClient(
        settings().stripe_api_key,
        base_addresses={"api": settings().stripe_api_base},
        http_client=stripe.RequestsClient(timeout=(3, 10), session=session()),
        max_network_retries=0,
    )


def session() -> requests.Session:
    """One for all threads. It reads proxies from the environment once: requests would do so at each
    call, for over a quarter of its CPU time."""
    made = requests.Session()
    made.proxies = get_environ_proxies(settings().stripe_api_base)
    made.trust_env = False
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    return made
