"""API keys of organisations' and operators' servers, and the organisations that they act for.

`scope` is the organisation that the caller may act for; None: all of them.
"""

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import psycopg

from db.accounts.callers import Caller
from db.accounts.memberships import check_stays_owner
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("accounts/api_keys")

PREFIX = "usk_"
SHOWN = len(PREFIX) + 8
"""How much of a key lists show: what is left of it has 208 random bits."""

DANGEROUS_SCOPE = "dangerous"
TEST_SCOPE = "test"
SCOPES = (DANGEROUS_SCOPE, TEST_SCOPE)
MOST_OVERLAP = 30 * 86400  # seconds
EVERYTHING = (DANGEROUS_SCOPE,)
"""The scopes of a key that may do all that its role may."""


@dataclass(frozen=True)
class NewKey:
    """What a key is to be. networks: in CIDR notation, where it may be used from; none: everywhere.
    account_id: of the person to whom it is shown, if known."""

    role: str
    name: str
    scopes: Sequence[str] = ()
    networks: Sequence[str] = ()
    expires_at: datetime | None = None
    account_id: int | None = None


@dataclass(frozen=True)
class Found:
    """A valid key: its holder, and where it may be used from."""

    caller: Caller
    networks: list[str]


def add_organisation(conn: Conn, name: str) -> int:
    row = one(conn.execute(sql.add_organisation, {"name": name}))
    return int(row["id"])


def add_key(
    conn: Conn, role: str, name: str, organisation_id: int | None, scopes: Sequence[str] = ()
) -> str:
    """Add a key that is good everywhere and for ever, and return it. It cannot be shown again.

    Errors: psycopg.IntegrityError when the organisation does not exist, or an organiser has none.
    """
    return create_key(conn, organisation_id, NewKey(role, name, scopes))[1]


def create_key(conn: Conn, organisation_id: int | None, wanted: NewKey) -> tuple[int, str]:
    """Add a key; return its id and the key itself, which cannot be shown again. Errors: as
    add_key."""
    if wanted.account_id is not None:
        check_stays_owner(conn, wanted.account_id, organisation_id)
    key = _draw_key()
    secret = {"secret_sha256": _hash(key), "prefix": key[:SHOWN]}
    lists = {"scopes": list(wanted.scopes), "networks": list(wanted.networks)}
    values = {**vars(wanted), **lists, **secret, "organisation_id": organisation_id}
    key_id = int(one(conn.execute(sql.add_key, values))["id"])
    return key_id, key


def find_key(conn: Conn, key: str) -> Found | None:
    """Find the holder of a valid key, and note its use, at most once a minute. conn: without a
    transaction, so that no request waits for another one's note."""
    row = maybe(conn.execute(sql.find_key, {"secret_sha256": _hash(key)}))
    if row is None:
        return None
    if not row["is_noted"]:
        with suppress(psycopg.Error):  # a database that cannot write still answers questions
            conn.execute(sql.note_use, {"key_id": row["id"]})
    caller = Caller(
        row["id"],
        row["role"],
        row["organisation_id"],
        row["account_id"],
        is_confirmed=DANGEROUS_SCOPE in row["scopes"],
        is_test=TEST_SCOPE in row["scopes"],
    )
    return Found(caller, row["networks"])


def list_keys(
    conn: Conn, organisation_id: int | None, *, limit: int, starting_after: int | None = None
) -> list[dict[str, Any]]:
    """Keys of an organisation, or all, as get_key returns them, with {organisation}, its name."""
    values = {"organisation_id": organisation_id, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_keys, values))


def get_key(conn: Conn, organisation_id: int | None, key_id: int) -> dict[str, Any]:
    """Return {id, role, name, prefix, scopes, networks, organisation_id, created_at, used_at,
    expires_at, old_until, revoked_at}. Errors: NotFound."""
    values = {"organisation_id": organisation_id, "key_id": key_id}
    row = maybe(conn.execute(sql.get_key, values))
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    return row


def rotate_key(
    conn: Conn, organisation_id: int | None, key_id: int, overlap: int, account_id: int | None
) -> str:
    """Give a key another secret and return it; the one before is good for `overlap` seconds more.
    Errors: NotFound; Conflict key_ended."""
    if account_id is not None:
        check_stays_owner(conn, account_id, organisation_id)
    key = _draw_key()
    values = {
        "secret_sha256": _hash(key),
        "prefix": key[:SHOWN],
        "organisation_id": organisation_id,
        "key_id": key_id,
        "overlap": overlap,
        "account_id": account_id,
    }
    if maybe(conn.execute(sql.rotate_key, values)) is None:
        _refuse_ended(conn, organisation_id, key_id)
    return key


def revoke_key(conn: Conn, organisation_id: int | None, key_id: int) -> None:
    """Revoke a key. Errors: NotFound; Conflict key_ended, when it was revoked before."""
    values = {"organisation_id": organisation_id, "key_id": key_id}
    if maybe(conn.execute(sql.revoke_key, values)) is None:
        _refuse_ended(conn, organisation_id, key_id)


def _refuse_ended(conn: Conn, organisation_id: int | None, key_id: int) -> NoReturn:
    get_key(conn, organisation_id, key_id)
    raise Conflict(f"The key {key_id} was revoked or has expired.", "key_ended")


def _draw_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _hash(key: str) -> bytes:
    # A plain hash is enough: unlike passwords, keys have 256 random bits.
    return hashlib.sha256(key.encode()).digest()
