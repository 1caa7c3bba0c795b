"""Events that get another date or place, and buyers who keep their bookings or give them back."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from db.connections import Conn, transaction
from db.payments import postponements
from db.payments.postponements import Postponement
from tests.support.running import Running
from tests.support.waiting import wait_until


def days(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=number)


def postpone(running: Running, **asked: Any) -> dict[str, Any]:
    """As the organiser does: to forty days from now, and buyers have ten days."""
    wanted = Postponement(starts_at=days(40), time_zone=None, venue_id=None,
                          give_back_until=days(10), reason="the tenor is ill")  # fmt: skip
    wanted.update(asked)  # type: ignore[typeddict-item]
    with transaction("organiser:1") as conn:
        return postponements.postpone_event(conn, None, running.sale.event, wanted)


def give_back(running: Running, booking: UUID) -> None:
    """As its buyer does."""
    buyer = running.booking(booking)["buyer_id"]
    with transaction(f"buyer:{buyer}") as conn:
        postponements.give_back(conn, running.sale.event, booking, buyer)


def counts(running: Running) -> tuple[int, int, int]:
    """Told, kept and given back, of the latest."""
    values = (running.conn, None, running.sale.event, 0, 1)
    (latest,) = postponements.list_postponements(*values)
    return latest["told"], latest["kept"], latest["given_back"]


def all_told(running: Running) -> None:
    """Work until the mails of all postponements have gone."""
    query = "select from outbox where actor in ('tell_of_postponement', 'send_email')"
    with running.work():
        wait_until(lambda: not running.conn.execute(query).fetchall())


def mails_written(conn: Conn, booking: UUID) -> list[tuple[int, str]]:
    """Number of the postponement, and state of the mail."""
    query = """select postponement, state from emails
        where booking_id = %s and template = 'postponed' order by postponement"""
    rows = conn.execute(query, [booking]).fetchall()
    return [(row["postponement"], row["state"]) for row in rows]
