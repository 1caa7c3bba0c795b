"""The gateway's notifications. They decide nothing: what is news starts a task that asks, and is
stored."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from db.bookings import archives
from db.connections import Conn, current_trace, one
from db.queries import load

sql = load("payments/notifications")

Taken = Literal["news", "no_news", "known", "too_old", "archived"]

TOLERANCE = 300
"""Seconds for which a signature is good."""


@dataclass(frozen=True)
class Notification:
    """A notification, in Usher's words.

    signed_at: when the gateway signed it, in seconds since 1970. payload: the JSON text to be
    stored. account: the gateway's own id of the connected account that it comes from; None: that of
    our key. signer: the gateway account whose own secret has signed it, which alone it can be
    about; None: the platform's.
    says: the state of the payment; None: it says none. refund_id, refund_gateway_ref: the refund
    that it is about, if there is one; refund_says: the refund's state. object_id: the gateway's id
    of the object that it is about.
    """

    signed_at: int
    id: str
    type: str
    payload: str
    account: str | None = None
    payment_id: UUID | None = None
    gateway_ref: str | None = None
    says: str | None = None
    object_id: str | None = None
    refund_id: UUID | None = None
    refund_gateway_ref: str | None = None
    refund_says: str | None = None
    signer: int | None = None


def is_recent(conn: Conn, signed_at: int) -> bool:
    """Tell whether a signature is still good, by the database's clock."""
    return bool(one(conn.execute(sql.is_recent, [signed_at, TOLERANCE]))["recent"])


def take_notification(conn: Conn, notification: Notification) -> Taken:
    """Enqueue the tasks that read its payment or refund, if that is Usher's and the notification is
    news, and store it, once; see sql/functions/payments/take_notification.sql.

    The first use of its transaction, since tasks are enqueued before anything is locked. For the
    same reason a booking that is archived is restored in a transaction of its own
    (`restore_booking`), after which the notification is to be taken again.
    Errors: SerializationFailure when the payment has changed meanwhile, see `retried`; psycopg's
    when the payload cannot be stored.
    """
    values = {**vars(notification), "tolerance": TOLERANCE, "trace": current_trace.get()}
    taken: Taken = one(conn.execute(sql.take_notification, values))["taken"]
    return taken


def restore_booking(conn: Conn, about: Notification) -> None:
    """Restore the archived booking of a notification's payment."""
    archives.restore_payment(conn, about.payment_id, about.gateway_ref, about.account, about.signer)
