"""A booking as its organisation sees it: with its buyer, attempts to pay, tickets, notes and all
that happened to it. An archived one is read as if it had never been archived."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from db.bookings import archives, bookings, corrections
from db.catalogue import events
from db.connections import Conn, many
from db.maintenance import booking_search
from db.presentation.gateway_words import tell_failure
from db.queries import load
from db.runtime.errors import NotFound

sql = load("maintenance/booking_details")

LATEST_NOTES = 20
LONGEST_TIMELINE = 1000


def find_booking(conn: Conn, scope: int | None, event_id: int, booking_id: UUID) -> dict[str, Any]:
    """A booking as lists have it. Errors: NotFound."""
    events.check_owner(conn, scope, event_id)
    rows = booking_search.show(conn, [{"event_id": event_id, "id": booking_id}])
    if not rows:
        raise NotFound
    return rows[0]


def get_details(conn: Conn, scope: int | None, event_id: int, booking_id: UUID) -> dict[str, Any]:
    """A booking as lists have it, with items, breakdown, refunds, payments, tickets and the latest
    notes. Errors: NotFound."""
    with _archived_or_not(conn, scope, event_id, booking_id) as found:
        values = {"event_id": event_id, "booking_id": booking_id}
        seen = bookings.get_booking(conn, event_id, booking_id, found["buyer_id"])
        shown = ("items", "breakdown", "refunds", "reason", "being_checked", "seconds_left")
        payments = many(conn.execute(sql.list_payments, values))
        for payment in payments:
            payment["failure"] = tell_failure(payment.pop("failure_code"))
        return (
            found
            | {name: seen[name] for name in shown}
            | {
                "payments": payments,
                "transfers": many(conn.execute(sql.list_transfers, values)),
                "tickets": many(conn.execute(sql.list_tickets, values)),
                "notes": corrections.list_notes(conn, event_id, booking_id, None, LATEST_NOTES),
            }
        )


def list_timeline(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A booking as lists have it, and what happened to it: [{at, kind, what, id, actor, detail}],
    the first LONGEST_TIMELINE. Errors: NotFound."""
    with _archived_or_not(conn, scope, event_id, booking_id) as found:
        values = {"event_id": event_id, "booking_id": booking_id, "limit": LONGEST_TIMELINE}
        return found, many(conn.execute(sql.list_timeline, values))


@contextmanager
def _archived_or_not(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID
) -> Iterator[dict[str, Any]]:
    """A booking as lists have it, also while it is read from the archive. Errors: NotFound."""
    try:
        found = find_booking(conn, scope, event_id, booking_id)
    except NotFound:
        events.check_owner(conn, scope, event_id)
    else:
        yield found
        return
    with archives.as_it_was(conn, event_id, booking_id) as was_archived:
        if not was_archived:
            raise NotFound
        yield find_booking(conn, scope, event_id, booking_id)
