"""The inbox of the gateway's notifications. They decide nothing: they only make us look."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.bookings import archives
from db.connections import Conn, one
from db.queries import load

sql = load("payments/notifications")


@dataclass(frozen=True)
class Notification:
    """money_back: it is about a refund or a dispute. says: the state that the payment is in, in our
    words, None where it does not tell. payload: the JSON as it came. refund_id, refund_gateway_ref:
    the refund that it is about, if it is about one; refund_says: as says, of the refund. object_id:
    the gateway's id of whatever it is about.
    """

    id: str
    type: str
    money_back: bool
    payment_id: UUID | None
    gateway_ref: str | None
    says: str | None
    payload: dict[str, Any]
    refund_id: UUID | None = None
    refund_gateway_ref: str | None = None
    refund_says: str | None = None
    object_id: str | None = None


def is_recent(conn: Conn, signed_at: int, seconds: int) -> bool:
    """Whether something was signed at most so long ago, by the database's clock."""
    return bool(one(conn.execute(sql.is_recent, [signed_at, seconds]))["recent"])


def take_notification(conn: Conn, notification: Notification) -> bool:
    """Store it once and enqueue the task that looks at its payment or refund, if that is ours and
    this is news. A booking that was archived is brought back.

    Returns whether it was new.
    """
    values = {**vars(notification), "payload": Jsonb(notification.payload)}
    row = one(conn.execute(sql.take_notification, values))
    if row["is_new"] and row["payment_id"] is None and _restore(conn, notification):
        conn.execute(sql.take_back, values)
        row = one(conn.execute(sql.take_notification, values))
    return bool(row["is_new"])


def _restore(conn: Conn, about: Notification) -> bool:
    known = about.payment_id or about.gateway_ref
    return bool(known) and archives.restore_payment(conn, about.payment_id, about.gateway_ref)
