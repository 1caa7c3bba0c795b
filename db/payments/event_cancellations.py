"""Event cancellations: all bookings of an event are cancelled and refunded, batch by batch."""

from dataclasses import dataclass
from typing import Any

from db.accounts import organisations
from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("payments/event_cancellations")


@dataclass(frozen=True)
class Batch:
    """taken: confirmed bookings that were cancelled; under_way: bookings that have not ended."""

    taken: int
    under_way: int


def cancel_event(
    conn: Conn, scope: int | None, event_id: int, reason: str, *, with_fees: bool
) -> dict[str, Any]:
    """Cancel an event for good, and return the cancellation, see get_cancellation.

    Errors: NotFound; Conflict already_cancelled, archived or suspended.
    """
    organisations.refuse_suspended(conn, scope)
    values = {"event_id": event_id, "scope": scope, "reason": reason, "with_fees": with_fees}
    outcome = one(conn.execute(sql.start_cancellation, values))["outcome"]
    if outcome == "no_event":
        raise NotFound
    if outcome == "already":
        raise Conflict("The event was cancelled before.", "already_cancelled")
    if outcome == "archived":
        message = "The event is in the archive: refund its bookings one by one."
        raise Conflict(message, "archived")
    return get_cancellation(conn, scope, event_id)


def get_cancellation(conn: Conn, scope: int | None, event_id: int) -> dict[str, Any]:
    """The cancellation of an event: {event_id, reason, with_fees, requested_by, requested_at,
    finished_at, bookings, cancelled, requested, pending, succeeded, failed (numbers of refunds),
    amount, owed (minor units)}.

    Errors: NotFound.
    """
    values = {"event_id": event_id, "scope": scope}
    row = maybe(conn.execute(sql.get_cancellation, values))
    if row is None:
        raise NotFound
    return row


def await_sales(conn: Conn, event_id: int) -> None:
    """Wait until all transactions that saw the event on sale have ended: no booking follows."""
    conn.execute(sql.lock_sale, {"event_id": event_id})


def count_waiting(conn: Conn, event_id: int) -> int:
    """Count refunds of the event that are soon to be sent to the gateway."""
    return int(one(conn.execute(sql.count_waiting, {"event_id": event_id}))["waiting"])


def cancel_batch(conn: Conn, event_id: int, limit: int, per_second: float) -> Batch:
    """Cancel up to `limit` bookings; their refunds are sent at `per_second`."""
    values = {"event_id": event_id, "limit": limit, "spread": 1 / per_second}
    return Batch(**one(conn.execute(sql.cancel_batch, values)))
