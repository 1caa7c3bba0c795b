"""The audit log: what staff, organisers and operators did, and what they read of persons, and when.

Acts are appended and never changed. A moment later a job chains them, organisation by organisation:
each link is the hash of the one before and of the act, so a change, a deletion or an addition in
the middle is found. Personal values stand apart, under a key of their account: the chain holds
their HMAC, and stays whole when they are erased.
"""

from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.queries import load

sql = load("accounts/audit_log")

PLATFORM = 0
"""The chain of acts that are of no organisation."""


@dataclass(frozen=True)
class Head:
    """A link of a chain, to be kept elsewhere: the last one, so that what a chain was is known."""

    organisation_id: int
    number: int
    hash: str


def audit(
    conn: Conn,
    action: str,
    event_id: int | None,
    detail: dict[str, Any],
    *,
    organisation_id: int | None = None,
    account_id: int | None = None,
    personal: dict[str, Any] | None = None,
) -> None:
    """Add an act of the one who acts in this transaction.

    detail: what stays: ids, amounts, changes as {"field": {"from": …, "to": …}}. organisation_id:
    None: the event's, or the platform's. account_id: whom the act is about. personal: what can be
    erased with that account: addresses, names, what people wrote in their own words.
    """
    values = {"action": action, "event_id": event_id, "detail": Jsonb(detail)}
    values |= {"organisation_id": organisation_id, "account_id": account_id}
    values |= {"personal": None if personal is None else Jsonb(personal)}
    conn.execute(sql.audit, values)


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What an act has changed: {"field": {"from": …, "to": …}}; fields that stayed are left out."""
    return {
        name: {"from": before.get(name), "to": value}
        for name, value in after.items()
        if value != before.get(name)
    }


class Chosen(TypedDict, total=False):
    """What may choose acts."""

    starting_after: int | None
    event_id: int | None
    account_id: int | None
    actor: str | None
    action: str | None


NOTHING_CHOSEN = dict.fromkeys(Chosen.__annotations__)


def list_acts(conn: Conn, *, limit: int, **chosen: Unpack[Chosen]) -> list[dict[str, Any]]:
    """Acts, the latest first: [{id, at, actor, action, organisation_id, event_id, account_id,
    detail, erased, number}]. erased: its personal values are gone; number: in the chain, or None
    until it is chained."""
    return many(conn.execute(sql.list_acts, NOTHING_CHOSEN | dict(chosen) | {"limit": limit}))


def list_acts_of(
    conn: Conn, organisation_id: int, *, limit: int, **chosen: Unpack[Chosen]
) -> list[dict[str, Any]]:
    """Acts of an organisation, as list_acts."""
    values = NOTHING_CHOSEN | dict(chosen)
    values |= {"organisation_id": organisation_id, "limit": limit}
    return many(conn.execute(sql.list_acts_of, values))


def chain_acts(conn: Conn, limit: int) -> int:
    """Chain acts that are not chained yet, at most `limit`; return how many."""
    return int(one(conn.execute(sql.chain_acts, {"limit": limit}))["chained"])


def verify_acts(conn: Conn, organisation_id: int | None = None) -> list[dict[str, Any]]:
    """What is not as it was written: [{organisation_id, number, act_id, finding}]; see
    verify_acts.sql for the findings. organisation_id: None: all chains."""
    return many(conn.execute(sql.verify_acts, {"organisation_id": organisation_id}))


def list_heads(conn: Conn, organisation_id: int | None = None) -> list[dict[str, Any]]:
    """The last link of each chain: [{organisation_id, number, hash (hexadecimal), links}]."""
    return many(conn.execute(sql.list_heads, {"organisation_id": organisation_id}))


def is_kept(conn: Conn, head: Head) -> bool:
    """Whether a chain still has a link that was noted before, or was purged up to there since."""
    values = {"organisation_id": head.organisation_id, "number": head.number}
    link = maybe(conn.execute(sql.find_link, values))
    if link is not None:
        return bool(link["hash"] == head.hash)
    purged = one(conn.execute(sql.purged_acts, {"organisation_id": head.organisation_id}))
    return int(purged["through"]) >= head.number
