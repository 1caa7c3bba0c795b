"""One call to Stripe: it takes its turn at the endpoint, passes the circuit breaker, and its errors
are told apart as tasks/gateway.py says."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import stripe
import structlog

from db import payments
from db.connections import refuse_transaction, transaction
from db.errors import UsherError
from db.settings import settings
from tasks.breaker import GatewayAway, breaker_for
from tasks.durable import TryLater
from tasks.gateway import Refused, ReplayedFailure, UnknownOutcome

log = structlog.get_logger()

PATIENCE = 5
"""Seconds that a call waits for its turn before its task is handed back instead: with the call
itself (13 s) less than the 25 s that a worker has to end in good order."""


class OfAccount(Protocol):
    """Anything of which it is known through whose account it is paid."""

    @property
    def gateway_account_id(self) -> int: ...


def call(paid: OfAccount, endpoint: str, request: Callable[[], Any]) -> Any:
    """One call to the gateway, in turn. Errors: as tasks/gateway.py says, and stripe.CardError."""
    refuse_transaction()
    wait_for_turn(paid.gateway_account_id, endpoint)
    try:
        with breaker_for(paid.gateway_account_id).calling():
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


def replayed(made: stripe.StripeObject) -> bool:
    """Whether the gateway repeats what it answered before: the thing as it was when it was made."""
    response = made.last_response
    assert isinstance(response, stripe.StripeResponse)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return headers.get("idempotent-replayed") == "true"


def wait_for_turn(account_id: int, endpoint: str) -> None:
    """Keep to the gateway's limit, all workers together."""
    with transaction() as conn:
        limit = settings().gateway_limit
        seconds = payments.take_turn(conn, account_id, endpoint, limit, PATIENCE)
    if seconds is None:
        raise TryLater(PATIENCE, "the gateway's limit is used up for now")
    time.sleep(seconds)


def probe(account_id: int) -> bool:
    """A call that changes nothing: whether it was answered."""
    refuse_transaction()
    try:
        with breaker_for(account_id).calling():
            client().v1.payment_intents.list({"limit": 1})
    except (stripe.StripeError, GatewayAway):
        return False
    return True


@cache
def client() -> stripe.StripeClient:
    """Stripe's client: short timeouts, and no retries behind our back."""
    return stripe.StripeClient(
        settings().stripe_api_key,
        base_addresses={"api": settings().stripe_api_base},
        http_client=stripe.RequestsClient(timeout=(3, 10)),
        max_network_retries=0,
    )
