"""The secrets that sign notifications: the platform's, which are a setting, and those of accounts
with keys of their own, at an address of each. They are kept for TTL seconds."""

import time

from db.connections import autocommit
from db.payments import merchants
from db.runtime.errors import UsherError
from db.runtime.sealing import open_to_verify
from db.runtime.settings import settings

TTL = 10.0  # seconds
MOST = 10_000
"""Accounts that are kept; strangers may ask for any."""

_known: dict[int, tuple[float, list[bytes]]] = {}


def secrets_of(account_id: int | None) -> list[bytes]:
    """The secrets of one account's address, or of the platform's; [] if there is none.

    Errors: psycopg's when the database is away.
    """
    if account_id is None:
        return platform_secrets()
    read_at, secrets = _known.get(account_id, (0.0, []))
    if read_at and time.monotonic() - read_at < TTL:
        return secrets
    secrets = read_secrets(account_id)
    if len(_known) >= MOST:
        _known.clear()
    _known[account_id] = (time.monotonic(), secrets)
    return secrets


def platform_secrets() -> list[bytes]:
    """One for each endpoint: of the platform's account, of connected accounts, of tests."""
    return [secret.encode() for secret in settings().webhook_secrets]


def read_secrets(account_id: int) -> list[bytes]:
    with autocommit() as conn:
        sealed = merchants.find_signer(conn, account_id)
    try:
        return [open_to_verify(sealed).encode()] if sealed else []
    except UsherError:
        return []
