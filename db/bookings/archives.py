"""Archives: bookings and entries of old events, by the month of the event's end.

An event's bookings are moved piece by piece, each with all its rows as one document
(sql/functions/maintenance/archive_piece.sql). A late notification restores a booking.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.connections import Conn, one
from db.queries import load
from db.runtime.settings import settings

sql = load("bookings/archives")


@dataclass(frozen=True)
class Piece:
    """moved: bookings or entries; done: the event is archived; why: a reason to wait."""

    moved: int
    done: bool
    why: str | None


def list_due(conn: Conn, limit: int) -> list[int]:
    """List events to be archived, those that ended first at the front."""
    values = {"days": settings().retention_events, "limit": limit}
    return [row["event_id"] for row in conn.execute(sql.list_due, values)]


def move_piece(conn: Conn, event_id: int, limit: int) -> Piece:
    """Archive at most `limit` bookings or entries of an event."""
    values = {"event_id": event_id, "days": settings().retention_events, "limit": limit}
    return Piece(**one(conn.execute(sql.archive_piece, values)))


def restore_payment(
    conn: Conn,
    payment_id: UUID | None,
    gateway_ref: str | None,
    account: str | None,
    signer: int | None = None,
) -> bool:
    """Restore the booking of a payment of an account at the gateway; False: it is not in an
    archive. account, signer: as a notification has them."""
    values: dict[str, Any] = {"payment_id": payment_id, "gateway_ref": gateway_ref}
    values |= {"account": account, "signer": signer}
    return bool(one(conn.execute(sql.restore_payment, values))["restored"])


def restore_booking(conn: Conn, event_id: int, booking_id: UUID) -> bool:
    """Restore a booking; False: it is not in an archive."""
    values = {"event_id": event_id, "booking_id": booking_id}
    return bool(one(conn.execute(sql.restore_booking, values))["restored"])


@contextmanager
def as_it_was(conn: Conn, event_id: int, booking_id: UUID) -> Iterator[bool]:
    """Let conn read a booking as if it had never been archived, while the block runs; nothing is
    changed. False: it is not in an archive."""
    with conn.transaction(force_rollback=True):
        yield restore_booking(conn, event_id, booking_id)
