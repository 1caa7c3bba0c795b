"""E-mails: a row each, from the change that causes it until the mail server accepts it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.connections import Conn, many, maybe, one
from db.presentation.addresses import without_addresses
from db.presentation.amounts import Currency
from db.queries import load
from db.runtime.errors import NotFound

sql = load("mail/emails")


@dataclass(frozen=True)
class Email:
    """The contents of a mail. verified: the recipient proved to read the address's mail; resends:
    how often it was sent before because the organiser wanted it; postponement: the number of the
    one that it tells of; booking and seats: of the booking that it is about, if there is one;
    currencies: all of them, by code.
    """

    id: UUID
    template: str
    context: dict[str, Any]
    event_id: int | None
    email: str
    name: str
    locale: str
    verified: bool
    resends: int
    postponement: int | None
    booking: dict[str, Any] | None
    seats: list[dict[str, Any]] | None
    currencies: dict[str, Currency]


def admit(conn: Conn, ids: list[str]) -> dict[UUID, float]:
    """The mails that are not sent yet, with the seconds for which the limits of their mailboxes put
    them off: 0 for those that may be sent now."""
    return {row["id"]: row["seconds"] for row in conn.execute(sql.admit_emails, {"ids": ids})}


def take(conn: Conn, ids: list[UUID], currencies: dict[str, Currency]) -> list[Email]:
    """Take those of the mails that are not sent yet, and count one more attempt."""
    rows = many(conn.execute(sql.take, {"ids": ids}))
    return [Email(**row, currencies=currencies) for row in rows]


def mark_sent(conn: Conn, ids: list[UUID]) -> None:
    conn.execute(sql.mark_sent, {"ids": ids})


def mark_failed(conn: Conn, email_id: UUID, error: str) -> None:
    _give_up(conn, email_id, "failed", error)


def mark_skipped(conn: Conn, email_id: UUID, why: str) -> None:
    """End a mail that is not sent, because what it says is no longer true."""
    _give_up(conn, email_id, "skipped", why)


def _give_up(conn: Conn, email_id: UUID, state: str, why: str) -> None:
    values = {"id": email_id, "state": state, "error": without_addresses(why)}
    conn.execute(sql.give_up, values)


def list_troubled(
    conn: Conn, *, state: str, older_than: float, limit: int, starting_after: UUID | None = None
) -> list[dict[str, Any]]:
    """Mails that failed, or that could not be sent yet, and are older than `older_than` seconds;
    the latest first: [{id, event_id, booking_id, buyer_id, template, state, attempts, last_error,
    created_at}]."""
    values = {"state": state, "older_than": older_than, "limit": limit}
    return many(conn.execute(sql.list_troubled, values | {"starting_after": starting_after}))


def list_refused(
    conn: Conn, event_id: int, limit: int, starting_after: UUID | None = None
) -> list[dict[str, Any]]:
    """Mails of an event that the mail server refused, the latest first: [{id, booking_id,
    booking_code, template, email, reason, created_at}]."""
    values = {"event_id": event_id, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_refused, values))


def get_address(conn: Conn, event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Where the mails of a booking go: {email, corrected, buyer_id}. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_address, {"event_id": event_id, "booking_id": booking_id}))
    if row is None:
        raise NotFound
    return row


def correct_address(conn: Conn, event_id: int, booking_id: UUID, email: str) -> None:
    """Send the mails of a booking to another address from now on. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "email": email}
    if not one(conn.execute(sql.correct_address, values))["found"]:
        raise NotFound


def resend(conn: Conn, event_id: int, booking_id: UUID) -> int:
    """Send refused mails of a booking again, and that with its tickets; how many."""
    values = {"event_id": event_id, "booking_id": booking_id}
    return int(one(conn.execute(sql.resend_emails, values))["emails"])


def list_waiting(conn: Conn, event_id: int, booking_id: UUID) -> list[dict[str, Any]]:
    """Mails of a booking that are on their way: [{id, template, state, created_at}]."""
    values = {"event_id": event_id, "booking_id": booking_id}
    return many(conn.execute(sql.list_waiting, values))
