"""Bookings as their buyers see them. For their payments see db/payments/payments.py."""

from typing import Any
from uuid import UUID

from db.connections import Conn, many, maybe, one
from db.presentation.breakdowns import break_down
from db.presentation.gateway_words import tell_failure
from db.queries import load
from db.queue.entries import NOT_SAID, refusal
from db.runtime.errors import Conflict, NotFound

sql = load("bookings/bookings")


def book_seats(conn: Conn, wish: dict[str, Any], per_second: float) -> UUID:
    """Book seats at once, and return the booking's id. After an error conn must be rolled back.

    wish: {event_id, buyer_id, entry_id (of a pass, or None), quantity, category, together,
    accessible, seats (guids or None), accept_terms, where one is expected, expected_total, where a
    chart was seen, plan_version_id and chart_seats (numbers of seats, instead of guids), and
    by_organisation, if it books for the buyer}.
    per_second: payments a second at the gateway.
    Errors: NotFound; Conflict; InvalidRequest with `reason`.
    """
    values = NOT_SAID | {"by_organisation": False, "per_second": per_second} | wish
    row = one(conn.execute(sql.book_seats, values))
    if row["outcome"] != "booked":
        raise refusal(row["outcome"], row["total"])
    booking_id: UUID = row["booking_id"]
    return booking_id


def get_booking(conn: Conn, event_id: int, booking_id: UUID, buyer_id: int) -> dict[str, Any]:
    """A buyer's own booking with items and the latest payment, whose failure is said in our words.
    Errors: NotFound.
    """
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    row = maybe(conn.execute(sql.get_booking, values))
    if row is None:
        raise NotFound
    if payment := row["payment"]:
        payment["failure"] = tell_failure(payment.pop("failure_code"))
    row["breakdown"] = break_down(row["items"] or [], row.pop("own_fee"))
    return row


def list_bookings(
    conn: Conn, buyer_id: int, starting_after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """A buyer's own bookings, the latest first."""
    values = {"buyer_id": buyer_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_bookings, values))


def cancel_booking(conn: Conn, event_id: int, booking_id: UUID, buyer_id: int) -> str:
    """Cancel a booking, and return its state: 'cancelled', or 'expiring' while the gateway is
    asked.

    Errors: NotFound; Conflict not_cancellable.
    """
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    row = one(conn.execute(sql.cancel_booking, values))
    if row["was"] is None:
        raise NotFound
    if row["was"] in ("held", "cancelled"):
        return "cancelled"
    if row["was"] in ("authorising", "review", "expiring"):
        return "expiring"
    message = f"A booking that is {row['was']} cannot be cancelled."
    raise Conflict(message, "not_cancellable")


def remind_holders(conn: Conn, limit: int) -> int:
    """Write reminders to buyers who have not begun to pay when half of the time is over; how many.

    limit: of holds that are looked at.
    """
    return int(one(conn.execute(sql.remind_holders, {"limit": limit}))["reminded"])


def list_tickets(
    conn: Conn, event_id: int, booking_id: UUID, buyer_id: int
) -> list[dict[str, Any]]:
    """Tickets of a buyer's own booking, including void ones; none before it is confirmed.

    Errors: NotFound (the booking).
    """
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    rows = many(conn.execute(sql.list_tickets, values))
    if not rows:
        raise NotFound
    return [row for row in rows if row["id"]]


def get_code(
    conn: Conn, event_id: int, booking_id: UUID, ticket_id: UUID, buyer_id: int
) -> dict[str, Any]:
    """What the code of a buyer's own valid ticket is drawn from: {secret, is_test}. Errors:
    NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id}
    values |= {"ticket_id": ticket_id, "buyer_id": buyer_id}
    row = maybe(conn.execute(sql.get_code, values))
    if row is None:
        raise NotFound
    return row
