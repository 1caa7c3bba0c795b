"""Entries in the queues of events: joining, reading, taking a pass, leaving."""

from datetime import datetime
from typing import Any
from uuid import UUID

from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound, UsherError

sql = load("queue/entries")

CONFLICTS = {
    "not_open": ("sale_not_open", "The sale has not begun: see on_sale_at of the event."),
    "over": ("sale_over", "The sale is over."),
    "in_flight": ("in_flight", "The same request is being worked on: ask again shortly."),
    "already_waiting": (
        "already_waiting",
        "You are in this queue already: read or leave that entry.",
    ),
    "no_pass": ("pass_needed", "These seats are sold through the queue: join it, and get a pass."),
    "pass_over": ("pass_over", "The pass was used, or its time is over."),
    "paused": ("paused", "The sale is paused: ask again later."),
    "queue": ("queue", "Others are waiting: join the queue."),
    "unpaid_holds": (
        "unpaid_holds",
        "Seats or passes of this event that you had were not paid for, several times: try again "
        "later.",
    ),
    "full": ("full", "Too many buyers are paying now: ask again shortly, or join the queue."),
    "plan_moved": (
        "plan_moved",
        "The event has another plan version now: read its chart and choose again.",
    ),
    "seats_taken": ("seats_taken", "A seat is not free any more: choose others."),
    "not_together": ("not_together", "There are not enough free seats side by side."),
    "no_accessible_seats": (
        "no_accessible_seats",
        "There are not enough free places for wheelchairs.",
    ),
    "sold_out": ("sold_out", "There are not enough free seats."),
}
REFUSALS = {
    "key_reused": ("key_reused", None, "This Idempotency-Key was used for another request before."),
    "over_cap": ("over_cap", "quantity", "This is more than a buyer may have of this event."),
    "unknown_seat": ("unknown_seat", "seats", "The event does not have all of these seats."),
    "unknown_category": ("unknown_category", "category", "The event has no such category."),
    "kept_seat": (
        "kept_seat",
        "seats",
        "These seats are kept for wheelchairs and companions: say with `accessible` how many "
        "wheelchair users come.",
    ),
    "companion_seat": (
        "companion_seat",
        "seats",
        "A companion's place is only sold with the wheelchair place beside it.",
    ),
    "no_accessible": (
        "no_accessible_seats",
        "accessible",
        "There are not so many places for wheelchairs.",
    ),
    "pass_too_small": ("pass_too_small", "quantity", "The pass is for fewer seats."),
    "terms": ("terms_not_accepted", "accept_terms", "The event's terms must be accepted."),
}


NOT_SAID = {"expected_total": None, "plan_version_id": None, "chart_seats": None}
"""What a wish may leave out."""


def join_queue(conn: Conn, wish: dict[str, Any]) -> dict[str, Any]:
    """Join a queue, in one round trip. conn must not be in a transaction with other work.

    wish: {event_id, buyer_id, key, sha256, quantity, category, together, accessible,
    seats (guids or None), accept_terms, admission, and, where one is expected, expected_total;
    where a chart was seen, its plan_version_id, and chart_seats (numbers of seats, instead of
    guids)}.
    Returns {id, number, state, joined_at, replayed}.
    Errors: NotFound; Conflict; InvalidRequest with `reason`. Nothing is stored then.
    """
    values = NOT_SAID | wish
    by_chart = values["plan_version_id"] is not None
    row = one(conn.execute(sql.join_by_chart if by_chart else sql.join_queue, values))
    outcome, total = row.pop("outcome"), row.pop("total")
    if outcome in ("joined", "replayed"):
        return row | {"replayed": outcome == "replayed"}
    details = {"entry_id": str(row["id"])} if row["id"] else {}
    raise refusal(outcome, total, **details)


def refusal(outcome: str, total: int | None = None, **details: Any) -> UsherError:
    """The error that says why a wish is refused: NotFound, Conflict or InvalidRequest. total: what
    it costs, where another sum was expected."""
    if outcome == "no_event":
        return NotFound()
    if outcome == "price_changed":
        return Conflict(PRICE_CHANGED, outcome, total=total)
    if outcome in CONFLICTS:
        reason, message = CONFLICTS[outcome]
        return Conflict(message, reason, **details)
    reason, path, message = REFUSALS[outcome]
    return InvalidRequest(message, reason=reason, path=path)


PRICE_CHANGED = "This is not what it costs now: see total, and ask again with it if you agree."


def get_entry(conn: Conn, event_id: int, entry_id: UUID, buyer_id: int) -> dict[str, Any]:
    """A buyer's own entry. `ahead`: at most so many entries come before it. Errors: NotFound."""
    values = {"event_id": event_id, "entry_id": entry_id, "buyer_id": buyer_id}
    row = maybe(conn.execute(sql.get_entry, values))
    if row is None:
        raise NotFound
    return row


def take_pass(conn: Conn, event_id: int, entry_id: UUID, buyer_id: int) -> datetime | None:
    """Take the pass that a buyer's entry is offered, and return until when it is good. None: it was
    missed, and the entry is back at the head of the queue.

    Errors: NotFound; Conflict not_admitted or lapsed.
    """
    values = {"event_id": event_id, "entry_id": entry_id, "buyer_id": buyer_id}
    row = one(conn.execute(sql.take_pass, values))
    if row["outcome"] == "no_entry":
        raise NotFound
    if row["outcome"] in PASSES:
        raise Conflict(PASSES[row["outcome"]], row["outcome"])
    until: datetime | None = row["pass_until"]
    return until


def expect_total(
    conn: Conn, event_id: int, entry_id: UUID, buyer_id: int, expected_total: int
) -> None:
    """Expect another total for an entry that is not decided: its buyer has seen the new price.

    Errors: NotFound; Conflict decided, no_total (it expects none) or price_changed (`total`).
    """
    values = {"event_id": event_id, "entry_id": entry_id, "buyer_id": buyer_id}
    values |= {"expected_total": expected_total}
    if maybe(conn.execute(sql.expect_total, values)):
        return
    entry = get_entry(conn, event_id, entry_id, buyer_id)
    if entry["decided_at"] or entry["state"] == "unavailable":
        raise Conflict(DECIDED, "decided")
    if entry["total"] is None:
        raise Conflict("The entry was made without a total to expect.", "no_total")
    raise refusal("price_changed", entry["total"])


DECIDED = "The entry has been decided: read it."

PASSES = {
    "not_admitted": "There is no pass for this entry: read it.",
    "lapsed": "The pass was not used in time: join the queue again.",
}


def leave_queue(conn: Conn, event_id: int, entry_id: UUID, buyer_id: int) -> None:
    """Leave a queue; a second call changes nothing. Errors: NotFound; Conflict decided."""
    values = {"event_id": event_id, "entry_id": entry_id, "buyer_id": buyer_id}
    row = maybe(conn.execute(sql.leave_queue, values))
    if row is None:
        raise NotFound
    if not row["gone"] and row["state"] != "left":
        raise Conflict(DECIDED, "decided")
