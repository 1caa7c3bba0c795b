"""Receipts, credit notes and reversals: numbered without a gap in each organisation, and never
changed. What is due is noted by triggers (sql/triggers/{bookings,refunds}.sql).
"""

from typing import Any
from uuid import UUID

from db.connections import Conn, many, one
from db.queries import load
from db.runtime.errors import NotFound

sql = load("payments/receipts")


def wake(conn: Conn) -> int:
    """A task for each organisation that has something to number; how many."""
    return int(one(conn.execute(sql.wake))["woken"])


def number(conn: Conn, organisation_id: int, limit: int) -> int:
    """Number the next ones, `limit` at most; how many there were."""
    values = {"organisation_id": organisation_id, "limit": limit}
    return int(one(conn.execute(sql.number_receipts, values))["numbered"])


def list_of_booking(
    conn: Conn, event_id: int, booking_id: UUID, buyer_id: int
) -> list[dict[str, Any]]:
    """A buyer's own documents, in order; none before they are numbered. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    rows = many(conn.execute(sql.list_of_booking, values))
    if not rows:
        raise NotFound
    return [_flat(row) for row in rows if row["number"]]


def list_of_organisation(
    conn: Conn, organisation_id: int, event_id: int | None, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """An organisation's documents, in order; of one event, where it is named."""
    values = {"organisation_id": organisation_id, "event_id": event_id}
    values |= {"starting_after": starting_after, "limit": limit}
    return [_flat(row) for row in conn.execute(sql.list_of_organisation, values)]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    breakdown: dict[str, Any] = row.pop("breakdown")
    return breakdown | row
