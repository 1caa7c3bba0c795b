"""What an organisation's people set right or write down about a booking: its name, its deadline,
its tags, and notes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from db.connections import Conn, many, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("bookings/corrections")

REFUSALS = {
    "not_open": "Only a booking that waits for its payment can have more time.",
    "not_later": "The new deadline must be later than the present one.",
    "after_start": "The buyer has to pay before the event begins.",
}


def extend_deadline(conn: Conn, event_id: int, booking_id: UUID, deadline: datetime) -> datetime:
    """Give a buyer more time to pay; returns the deadline, without the credit of outages.

    Errors: NotFound; Conflict with a reason of REFUSALS.
    """
    values = {"event_id": event_id, "booking_id": booking_id, "deadline": deadline}
    row = one(conn.execute(sql.extend_deadline, values))
    if row["outcome"] == "no_booking":
        raise NotFound
    if row["outcome"] != "done":
        raise Conflict(REFUSALS[row["outcome"]], row["outcome"])
    extended: datetime = row["deadline"]
    return extended


def correct_name(conn: Conn, event_id: int, booking_id: UUID, name: str) -> None:
    """Give a booking another name than its buyer's. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "name": name}
    if not one(conn.execute(sql.correct_name, values))["found"]:
        raise NotFound


def set_tags(conn: Conn, event_id: int, booking_id: UUID, tags: list[str]) -> None:
    """Replace the tags of a booking. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "tags": tags}
    if not one(conn.execute(sql.set_tags, values))["found"]:
        raise NotFound


def write_note(conn: Conn, event_id: int, booking_id: UUID, note: str) -> UUID:
    """Write a note about a booking; returns its id. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "note": note}
    written: UUID | None = one(conn.execute(sql.write_note, values))["id"]
    if written is None:
        raise NotFound
    return written


def list_notes(
    conn: Conn, event_id: int, booking_id: UUID, starting_after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Notes about a booking, the latest first: [{id, note, written_by, created_at}]."""
    values: dict[str, Any] = {"event_id": event_id, "booking_id": booking_id}
    return many(
        conn.execute(sql.list_notes, values | {"starting_after": starting_after, "limit": limit})
    )
