"""Archives: what was sold for events that are long over, by the month of their end.

An event's bookings move piece by piece, each with all that belongs to it, as one document
(sql/functions/maintenance/archive_piece.sql). Late news brings a booking back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from db.connections import Conn, one
from db.queries import load
from db.runtime.settings import settings

sql = load("bookings/archives")


@dataclass(frozen=True)
class Piece:
    """moved: bookings, or entries; done: all of the event is there; why: it has to wait."""

    moved: int
    done: bool
    why: str | None


def list_due(conn: Conn, limit: int) -> list[int]:
    """Events to be archived, those first that are over for longest."""
    values = {"days": settings().retention_events, "limit": limit}
    return [row["event_id"] for row in conn.execute(sql.list_due, values)]


def move_piece(conn: Conn, event_id: int, limit: int) -> Piece:
    """Move some more of an event."""
    values = {"event_id": event_id, "days": settings().retention_events, "limit": limit}
    return Piece(**one(conn.execute(sql.archive_piece, values)))


def restore_payment(conn: Conn, payment_id: UUID | None, gateway_ref: str | None) -> bool:
    """Bring the booking of a payment back; False: no archive knows of it."""
    values = {"payment_id": payment_id, "gateway_ref": gateway_ref}
    return bool(one(conn.execute(sql.restore_payment, values))["restored"])


def restore_booking(conn: Conn, event_id: int, booking_id: UUID) -> bool:
    """Bring a booking back; False: it is not in an archive."""
    values = {"event_id": event_id, "booking_id": booking_id}
    return bool(one(conn.execute(sql.restore_booking, values))["restored"])


@contextmanager
def as_it_was(conn: Conn, event_id: int, booking_id: UUID) -> Iterator[bool]:
    """While the block runs, conn reads a booking as if it had never been archived; nothing is
    changed. False: it is not in an archive."""
    with conn.transaction(force_rollback=True):
        yield restore_booking(conn, event_id, booking_id)
