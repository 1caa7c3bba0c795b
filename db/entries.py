"""Entries in the queues of events: joining, looking, leaving."""

from typing import Any
from uuid import UUID

from db.connections import Conn
from db.errors import Conflict, InvalidRequest, NotFound
from db.queries import load

sql = load("entries")

CONFLICTS = {
    "not_open": ("sale_not_open", "The sale has not begun: see on_sale_at of the event."),
    "over": ("sale_over", "The sale is over."),
    "in_flight": ("in_flight", "The same request is being worked on: ask again shortly."),
    "already_waiting": (
        "already_waiting",
        "You are in this queue already: read or leave that entry.",
    ),
}
REFUSALS = {
    "key_reused": ("key_reused", None, "This Idempotency-Key came with another request before."),
    "over_cap": ("over_cap", "quantity", "That is more than a buyer may have of this event."),
    "unknown_seat": ("unknown_seat", "seats", "The event has not all of these seats."),
    "unknown_category": ("unknown_category", "category", "The event has no such category."),
    "kept_seat": (
        "kept_seat",
        "seats",
        "A seat is kept for wheelchairs and companions: say how many with `accessible`.",
    ),
    "terms": ("terms_not_accepted", "accept_terms", "The event's terms must be accepted."),
}


def join_queue(conn: Conn, wish: dict[str, Any]) -> dict[str, Any]:
    """Join, in one round trip; conn must be in no transaction with other work.

    wish: {event_id, buyer_id, key, sha256, quantity, category, together, accessible,
    seats (guids or None), accept_terms}. Returns {id, number, state, joined_at, replayed}.
    Errors: NotFound; Conflict; InvalidRequest with `reason`. Nothing is stored then.
    """
    row = conn.execute(sql.join_queue, wish).fetchone()
    assert row is not None
    outcome = row.pop("outcome")
    if outcome in ("joined", "replayed"):
        return row | {"replayed": outcome == "replayed"}
    if outcome == "no_event":
        raise NotFound
    if outcome in CONFLICTS:
        reason, message = CONFLICTS[outcome]
        entry = {"entry_id": str(row["id"])} if row["id"] else {}
        raise Conflict(message, reason, **entry)
    reason, path, message = REFUSALS[outcome]
    raise InvalidRequest(message, reason=reason, path=path)


def get_entry(conn: Conn, event_id: int, entry_id: UUID, buyer_id: int) -> dict[str, Any]:
    """A buyer's own entry; `ahead`: at most so many people come before. Errors: NotFound."""
    values = {"event_id": event_id, "entry_id": entry_id, "buyer_id": buyer_id}
    row = conn.execute(sql.get_entry, values).fetchone()
    if row is None:
        raise NotFound
    return row


def leave_queue(conn: Conn, event_id: int, entry_id: UUID, buyer_id: int) -> None:
    """Leave; whoever has left may say so again. Errors: NotFound; Conflict decided."""
    values = {"event_id": event_id, "entry_id": entry_id, "buyer_id": buyer_id}
    row = conn.execute(sql.leave_queue, values).fetchone()
    if row is None:
        raise NotFound
    if not row["gone"] and row["state"] != "left":
        raise Conflict("The entry has been decided: read it.", "decided")
