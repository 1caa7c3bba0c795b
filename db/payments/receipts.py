"""Receipts, credit notes and reversals: numbered without a gap in each organisation, and never
changed. Triggers note which documents are due (sql/triggers/{bookings,refunds}.sql).
"""

from typing import Any
from uuid import UUID

from db.connections import Conn, many, one
from db.queries import load
from db.runtime.errors import NotFound

sql = load("payments/receipts")


def wake(conn: Conn) -> int:
    """Add a task for each organisation that has documents to number, and return how many."""
    return int(one(conn.execute(sql.wake))["woken"])


def number(conn: Conn, organisation_id: int, limit: int) -> int:
    """Number the next documents, at most `limit`, and return how many there were."""
    values = {"organisation_id": organisation_id, "limit": limit}
    return int(one(conn.execute(sql.number_receipts, values))["numbered"])


def list_of_booking(
    conn: Conn, event_id: int, booking_id: UUID, buyer_id: int
) -> list[dict[str, Any]]:
    """Documents of a buyer's own booking that are numbered, in order. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    rows = many(conn.execute(sql.list_of_booking, values))
    if not rows:
        raise NotFound
    return [_flat(row) for row in rows if row["number"]]


def list_of_organisation(
    conn: Conn, organisation_id: int, event_id: int | None, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """Documents of an organisation, in order; of one event if it is given."""
    values = {"organisation_id": organisation_id, "event_id": event_id}
    values |= {"starting_after": starting_after, "limit": limit}
    return [_flat(row) for row in conn.execute(sql.list_of_organisation, values)]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    breakdown: dict[str, Any] = row.pop("breakdown")
    return breakdown | row
