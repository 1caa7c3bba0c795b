"""Check that everything the crowd was promised with a 2xx has reached an end, and only once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from db.connections import Conn
from ops.chaos.buyer import Told
from ops.crowd.told import some

Json = dict[str, Any]

# For each kind of promise: a query for the states of rows with these ids, and the final states.
STATES = {
    "entry": "SELECT id::text, state FROM entries WHERE id = ANY (%s)",
    "booking": "SELECT id::text, state FROM bookings WHERE id = ANY (%s)",
    "payment": "SELECT id::text, state FROM payments WHERE id = ANY (%s)",
    "refund": "SELECT id::text, state FROM refunds WHERE id = ANY (%s)",
}
ENDS = {
    "entry": ("booked", "unavailable", "left", "lapsed"),
    "booking": ("confirmed", "expired", "cancelled", "failed"),
    "payment": ("captured", "voided", "failed"),
    "refund": ("succeeded", "failed"),
}
# Each buyer asks for one of each; repeated requests have the same key.
TWICE = """
SELECT 'bookings of account ' || buyer_id AS what, count(*) AS n FROM bookings
WHERE buyer_id = ANY (%(accounts)s) GROUP BY buyer_id HAVING count(*) > 1
UNION ALL
SELECT 'entries of account ' || buyer_id, count(*) FROM entries
WHERE buyer_id = ANY (%(accounts)s) GROUP BY buyer_id HAVING count(*) > 1
UNION ALL
SELECT 'owners of seat ' || seat || ' of event ' || event_id, count(*) FROM tickets
WHERE state = 'valid' GROUP BY event_id, seat HAVING count(*) > 1
"""
SEATS = "SELECT event_id, count(*) AS n FROM seats GROUP BY event_id"


@dataclass
class Kept:
    """accepted: number of promises by kind. lost, doubled: a sentence for each."""

    accepted: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def examine(conn: Conn, told: Iterable[Told]) -> Kept:
    """Compare what buyers were promised with the tables."""
    told, kept = list(told), Kept()
    for kind, query in STATES.items():
        ids = [id for one in told for what, id in one.accepted.items() if what.split()[0] == kind]
        states = {row["id"]: row["state"] for row in conn.execute(query.encode(), [ids])}
        kept.accepted[kind] = len(ids)
        kept.lost += lost(kind, ids, states)
    accounts = [one.account for one in told if one.account]
    twice = conn.execute(TWICE, {"accounts": accounts})
    kept.doubled = [f"{row['n']} {row['what']}" for row in twice]
    return kept


def lost(kind: str, ids: Iterable[str], states: dict[str, str]) -> list[str]:
    """Find promises that are missing from the tables, or not in a final state."""
    found = ((id, states.get(id, "not there")) for id in ids)
    return [f"{kind} {id} is {state}" for id, state in found if state not in ENDS[kind]]


def count_seats(conn: Conn) -> dict[int, int]:
    """Count the seats of each event, in any state."""
    return {row["event_id"]: row["n"] for row in conn.execute(SEATS)}


def check(kept: Kept) -> Iterator[str]:
    yield from some("accepted and lost", kept.lost)
    yield from some("done twice", kept.doubled)
