"""The inbox of the gateway's notifications. They decide nothing: they only start tasks that ask."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from db.bookings import archives
from db.connections import Conn, one
from db.queries import load

sql = load("payments/notifications")

Taken = Literal["new", "known", "restored"]


@dataclass(frozen=True)
class Notification:
    """A notification, in Usher's words. money_back: it is about a refund or a dispute. says: the
    state of the payment; None: unknown. payload: the JSON as it came. refund_id,
    refund_gateway_ref: the refund that it is about, if there is one; refund_says: the refund's
    state. object_id: the gateway's id of the object that it is about.
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
    """Tell whether a signature is at most so many seconds old, by the database's clock."""
    return bool(one(conn.execute(sql.is_recent, [signed_at, seconds]))["recent"])


def take_notification(conn: Conn, notification: Notification) -> Taken:
    """Store a notification once, and enqueue the tasks that read its payment or refund, if that is
    Usher's and the state is new.

    The first use of its transaction, since tasks are enqueued before anything is locked. For the
    same reason a booking that had to be restored from the archive is all that the transaction
    does: the notification is not stored yet, and is to be taken again.
    Errors: SerializationFailure when the payment has changed meanwhile, see `retried`.
    """
    values = {**vars(notification), "payload": Jsonb(notification.payload)}
    row = one(conn.execute(sql.take_notification, values))
    if row["is_new"] and row["payment_id"] is None and _restore(conn, notification):
        conn.execute(sql.take_back, values)
        return "restored"
    return "new" if row["is_new"] else "known"


def _restore(conn: Conn, about: Notification) -> bool:
    known = about.payment_id or about.gateway_ref
    return bool(known) and archives.restore_payment(conn, about.payment_id, about.gateway_ref)
