"""API keys of organisers and operators, and the organisations that they act for."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import NotFound

sql = load("accounts/api_keys")

PREFIX = "usk_"


@dataclass(frozen=True)
class Caller:
    """The principal that a key proves."""

    id: int
    role: str
    organisation_id: int | None

    @property
    def scope(self) -> int | None:
        """The organisation that it may act for; None: all of them."""
        return None if self.role == "operator" else self.organisation_id

    @property
    def name(self) -> str:
        """Role and id, as logs have them."""
        return f"{self.role}:{self.id}"


def add_organisation(conn: Conn, name: str) -> int:
    row = one(conn.execute(sql.add_organisation, {"name": name}))
    return int(row["id"])


def add_key(conn: Conn, role: str, name: str, organisation_id: int | None) -> str:
    """Add a key and return it. It cannot be shown again.

    Errors: psycopg.IntegrityError when the organisation does not exist, or an organiser has none.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    values = {"role": role, "name": name, "organisation_id": organisation_id}
    conn.execute(sql.add_key, values | {"secret_sha256": _hash(key)})
    return key


def find_caller(conn: Conn, key: str) -> Caller | None:
    """Find the principal of a key that was not revoked."""
    row = maybe(conn.execute(sql.find_key, {"secret_sha256": _hash(key)}))
    return Caller(**row) if row else None


def list_keys(conn: Conn) -> list[dict[str, Any]]:
    """All keys: [{id, role, name, organisation_id, organisation, created_at, revoked_at}]."""
    return many(conn.execute(sql.list_keys))


def revoke_key(conn: Conn, key_id: int) -> None:
    """Revoke a key. Errors: NotFound, also when it was revoked before."""
    if maybe(conn.execute(sql.revoke_key, {"key_id": key_id})) is None:
        raise NotFound(f"There is no key {key_id} that could be revoked.")


def _hash(key: str) -> bytes:
    # A plain hash is enough: unlike passwords, keys have 256 random bits.
    return hashlib.sha256(key.encode()).digest()
