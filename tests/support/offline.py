"""Bookings that are paid offline, and what the organiser says about them."""

from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from db.connections import one, transaction
from db.payments import offline
from tests.support.paying import PRICE
from tests.support.running import Running
from tests.support.waiting import wait_until


@pytest.fixture
def event(running: Running) -> int:
    """One that can be paid offline, within an hour."""
    running.conn.execute(
        "update events set offline_account_id = offline_account(organisation_id),"
        " offline_seconds = 3600, offline_instructions = 'At the desk'"
    )
    return running.sale.event


def choose(running: Running, name: str = "alice") -> UUID:
    """A booking whose buyer wants to pay offline."""
    booking = running.sale.hold(name)
    running.pay(booking, None, "offline")
    return booking


def mark(running: Running, booking: UUID, **given: Any) -> dict[str, Any]:
    """As the organiser does; what record_payment answers."""
    receipt = {"reference": "receipt 1", "amount": PRICE, "currency": "EUR"} | given
    with transaction("organiser:1") as conn:
        return offline.record_payment(conn, None, running.sale.event, booking, receipt)


def payment_of(running: Running, booking: UUID) -> dict[str, Any]:
    query = "select * from payments where booking_id = %s"
    return one(running.conn.execute(query, [booking]))


def mail(running: Running, subject: str) -> EmailMessage:
    with running.work():
        wait_until(lambda: subject in [m["Subject"] for m in running.catcher.mails()])
    return next(m for m in running.catcher.mails() if m["Subject"] == subject)
