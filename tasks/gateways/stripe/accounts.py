"""How each account at Stripe is called: with the platform's key, for a connected account with a
header besides, or with the organisation's own key, which is opened here.

What is known of an account is kept for TTL seconds, so that a call costs no question to the
database. A key that Stripe does not accept any more is read again at once (`forget`).
"""

import time
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock

import stripe

from db.connections import autocommit, refuse_transaction
from db.payments import merchants
from db.runtime.errors import UsherError
from db.runtime.sealing import open_sealed
from db.runtime.settings import settings
from tasks.gateways.errors import UnknownOutcome
from tasks.gateways.stripe.connections import KeptConnections

TTL = 10.0  # seconds


@dataclass(frozen=True)
class Access:
    """What a call carries. connected: the id of a connected account; None: that of the key."""

    api_key: str
    connected: str | None = None


class AccessLost(UsherError):
    """The gateway does not accept the key."""


class NoKey(UsherError):
    """There is no key with which this account could be called."""


_known: dict[int, tuple[float, Access]] = {}
_reading = Lock()


def access_of(account_id: int) -> Access:
    """How to call an account. Errors: NoKey, CannotOpen."""
    read_at, access = _known.get(account_id, (0.0, None))
    if access is not None and time.monotonic() - read_at < TTL:
        return access
    with _reading:
        access = read_access(account_id)
        _known[account_id] = (time.monotonic(), access)
    return access


def read_access(account_id: int) -> Access:
    with autocommit() as conn:
        account = merchants.find_access(conn, account_id)
    if account.access == "own_keys":
        if account.sealed_key is None:
            raise NoKey
        return Access(open_sealed(account.sealed_key))
    return Access(platform_key(account.mode), account.external_account)


def platform_key(mode: str) -> str:
    """The platform's own key. Errors: NoKey, in test mode."""
    key = settings().stripe_api_key if mode == "live" else settings().stripe_test_api_key
    if not key:
        raise NoKey("STRIPE_TEST_API_KEY is not set: the platform has no account for tests")
    return key


def forget(account_id: int) -> None:
    """Read an account's key again at its next call."""
    _known.pop(account_id, None)


def has_changed(account_id: int) -> bool:
    """Whether the key of an account has changed since it was read; the new one is read. It may
    have been changed by another process, while this one used the old one."""
    _, used = _known.pop(account_id, (0.0, None))
    try:
        return used is not None and access_of(account_id) != used
    except UsherError:
        return False


def client_of(account_id: int) -> stripe.StripeClient:
    """Stripe's client for an account."""
    return client_with(access_of(account_id))


@lru_cache(maxsize=1000)
def client_with(access: Access) -> stripe.StripeClient:
    """Stripe's client, with short timeouts and without automatic retries."""
    return stripe.StripeClient(
        access.api_key,
        stripe_account=access.connected,
        base_addresses={"api": settings().stripe_api_base},
        http_client=shared_connections(),
        max_network_retries=0,
    )


@cache
def shared_connections() -> KeptConnections:
    return KeptConnections(settings().stripe_api_base)


def find_external_account(access: Access) -> str:
    """The gateway's id of the account that is called so.

    Errors: AccessLost; UnknownOutcome when the gateway did not answer.
    """
    refuse_transaction()
    try:
        return client_with(access).v1.accounts.retrieve_current().id
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise AccessLost(str(error.user_message or error)) from error
    except stripe.StripeError as error:
        raise UnknownOutcome(str(error)) from error


def forget_all() -> None:
    """Tests: begin anew with other settings."""
    _known.clear()
    client_with.cache_clear()
    shared_connections.cache_clear()
