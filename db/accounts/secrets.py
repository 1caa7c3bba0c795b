"""Secrets that Usher keeps for others, sealed: merchants' keys and seeds of second factors. What is
read here is sealed; db/runtime/sealing.py opens it, where that is allowed."""

from collections.abc import Iterator

from db.connections import Conn, many, maybe
from db.queries import load
from db.runtime.sealing import Place, Sealed, seal
from db.runtime.settings import settings

sql = load("accounts/secrets")

BATCH = 100
"""Secrets that are read at once to be sealed again."""


def keep_secret(conn: Conn, place: Place, secret: str) -> None:
    """Seal a secret and keep it, instead of one that was there.

    Errors: Conflict `no_encryption_keys`.
    """
    conn.execute(sql.keep_secret, place._asdict() | {"sealed": seal(place, secret).text})


def find_secret(conn: Conn, place: Place) -> Sealed | None:
    row = maybe(conn.execute(sql.find_secret, place._asdict()))
    return Sealed(place, row["sealed"]) if row else None


def forget_secret(conn: Conn, place: Place) -> None:
    """Delete the secret of a place, if it has one."""
    conn.execute(sql.forget_secret, {"purpose": place.purpose, "owner": place.owner})


def count_by_key(conn: Conn) -> dict[str, int]:
    """How many secrets each key has sealed, by its id."""
    return {row["key_id"]: row["secrets"] for row in conn.execute(sql.list_key_ids)}


def find_unknown_keys(conn: Conn) -> list[str]:
    """Ids of keys that have sealed a secret, and that ENCRYPTION_KEYS does not have."""
    return sorted(set(count_by_key(conn)) - set(settings().sealing_keys))


def list_sealed_before(conn: Conn, key_id: str) -> Iterator[Sealed]:
    """All secrets that another key has sealed than the one with this id."""
    after = ("", "")
    while True:
        values = {"key_id": key_id, "limit": BATCH}
        values |= {"after_purpose": after[0], "after_owner": after[1]}
        rows = many(conn.execute(sql.list_sealed_before, values))
        for row in rows:
            sealed = row.pop("sealed")
            yield Sealed(Place(**row), sealed)
        if len(rows) < BATCH:
            return
        after = (rows[-1]["purpose"], rows[-1]["owner"])


def replace_sealed(conn: Conn, before: Sealed, now: Sealed) -> bool:
    """Replace a secret by itself under another key. False: it was changed or deleted since."""
    values = {"purpose": before.place.purpose, "owner": before.place.owner}
    values |= {"before": before.text, "sealed": now.text}
    return maybe(conn.execute(sql.replace_sealed, values)) is not None
