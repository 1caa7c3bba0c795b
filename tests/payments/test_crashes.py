"""A worker is killed with SIGKILL at each point of the saga; another finishes what it had begun.

The whole of Usher but the API runs as processes, two workers and two mailers among them. A process
that reaches the point for which there is an order kills itself there, once (db/runtime/faults.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from db.connections import Conn, one
from db.maintenance.invariants import violations
from ops.local.stack import Stack
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

PRICE = 10500
FORMATION = {"relay": 1, "clock": 1, "worker": 2, "mailer": 2, "keeper": 1}
PATIENCE = 20


@dataclass
class Killable:
    """An event on sale, and processes that can be told where to die."""

    stack: Stack
    conn: Conn
    sale: Theatre
    orders: Path
    names: Iterator[int]

    def hold(self) -> UUID:
        """A new buyer joins the queue; the booking that the drain makes."""
        entry = self.sale.join(f"buyer{next(self.names)}", 2, 1)
        query = "select booking_id from entries where id = %s"
        wait_until(lambda: self.row(query, entry)["booking_id"])
        return UUID(str(self.row(query, entry)["booking_id"]))

    def pay(self, booking: UUID, card: str = "pm_card_visa") -> None:
        query = """
            select s.outcome from bookings b,
                start_payment(b.event_id, b.id, b.buyer_id, %s, 'https://usher.example') s
            where b.id = %s"""
        assert self.row(query, card, booking)["outcome"] == "started"

    def row(self, query: Any, *values: Any) -> dict[str, Any]:
        return one(self.conn.execute(query, values))

    def state(self, booking: UUID) -> str:
        return str(self.row("select state from bookings where id = %s", booking)["state"])

    def payment(self, booking: UUID) -> dict[str, Any]:
        return self.row("select * from payments where booking_id = %s", booking)

    def is_idle(self) -> bool:
        return not self.conn.execute("select from outbox").fetchall()

    def wait_for(self, booking: UUID, state: str) -> None:
        wait_until(lambda: self.state(booking) == state and self.is_idle(), PATIENCE)

    def intents(self, booking: UUID) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.stack.sandbox.ledger()["intents"]
        return [intent for intent in found if intent["metadata"]["booking_id"] == str(booking)]

    def killing(self, kind: str, point: str) -> Callable[[], None]:
        """Order the death of a process at a point. Call the result when it should have come."""
        processes = self.stack.supervisor.select(kind)
        for process in processes:
            process.started_at = 0  # as if it had lived for long: it is started again at once
        starts = sum(process.starts for process in processes)
        order = self.orders / point
        order.touch()

        def has_died() -> bool:
            return not order.exists() and sum(process.starts for process in processes) > starts

        return lambda: wait_until(has_died, PATIENCE)


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    orders = tmp_path_factory.mktemp("orders")
    env = {"DIE_AT": str(orders), "TASK_PACE": "0.005"}
    with (
        Stack(tmp_path_factory.mktemp("var"), FORMATION, env=env, say=lambda line: None) as stack,
        psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as conn,
    ):
        yield Killable(stack, conn, build_evening(conn), orders, count())


@pytest.mark.parametrize(
    "point",
    [
        "before first commit",
        "after first commit",
        "before authorise",
        "after authorise",
        "before settle commits",
        "after settle",
        "before capture",
        "after capture",
        "before issue commits",
        "after issue",
    ],
)
def test_a_payment_survives(theatre: Killable, point: str) -> None:
    booking = theatre.hold()
    has_died = theatre.killing("worker", point)
    theatre.pay(booking)
    theatre.wait_for(booking, "confirmed")
    has_died()
    (intent,) = theatre.intents(booking)
    assert (intent["captured"], intent["charges"], intent["held"]) == (PRICE, 1, 0)
    assert violations(theatre.conn) == []


@pytest.mark.system
@pytest.mark.parametrize(
    "point",
    [
        "before first commit",
        "after first commit",
        "after authorise",
        "before settle commits",
        "after settle",
        "after capture",
        "before issue commits",
        "after issue",
    ],
)
def test_payments_that_go_side_by_side_survive(theatre: Killable, point: str) -> None:
    """A message names all four, so the worker dies over all of them; then each goes alone."""
    opera = replace(theatre, sale=build_evening(theatre.conn))
    bookings = [opera.hold() for _ in range(4)]
    has_died = opera.killing("worker", point)
    with opera.conn.transaction():
        for booking in bookings:
            opera.pay(booking)
    for booking in bookings:
        opera.wait_for(booking, "confirmed")
        (intent,) = opera.intents(booking)
        assert (intent["captured"], intent["charges"], intent["held"]) == (PRICE, 1, 0)
    has_died()
    assert violations(theatre.conn) == []


@pytest.mark.parametrize("point", ["before withdraw", "after withdraw", "before settle commits"])
def test_a_withdrawal_survives(theatre: Killable, point: str) -> None:
    booking = theatre.hold()
    theatre.pay(booking, "pm_card_threeDSecure2Required")
    wait_until(lambda: theatre.payment(booking)["state"] == "requires_action" and theatre.is_idle())
    has_died = theatre.killing("worker", point)
    past = "update bookings set deadline = now() - interval '2 min' where id = %s"
    theatre.conn.execute(past, [booking])
    theatre.wait_for(booking, "expired")
    has_died()
    (intent,) = theatre.intents(booking)
    assert (intent["status"], intent["captured"], intent["held"]) == ("canceled", 0, 0)
    assert theatre.payment(booking)["state"] == "voided"
    assert violations(theatre.conn) == []


@pytest.mark.parametrize(
    "point", ["after authorise", "before review commits", "after settle", "before capture"]
)
def test_a_review_survives(theatre: Killable, point: str) -> None:
    booking = theatre.hold()
    has_died = theatre.killing("worker", point)
    theatre.pay(booking, "pm_card_riskLevelElevated")
    theatre.wait_for(booking, "review")
    (intent,) = theatre.intents(booking)
    assert (intent["charges"], intent["captured"], intent["held"]) == (1, 0, PRICE)
    assert violations(theatre.conn) == []
    approved = "select outcome from decide_review(%s, null, %s, null, 'approve', 'known')"
    assert theatre.row(approved, theatre.sale.event, booking)["outcome"] == "done"
    theatre.wait_for(booking, "confirmed")
    has_died()
    assert theatre.intents(booking)[0]["captured"] == PRICE
    assert violations(theatre.conn) == []


@pytest.mark.parametrize("point", ["before withdraw", "after void"])
def test_a_rejection_survives(theatre: Killable, point: str) -> None:
    """By the clock, where nobody decides ("after void"); or by the buyer, who gives it up."""
    booking = theatre.hold()
    theatre.pay(booking, "pm_card_riskLevelElevated")
    theatre.wait_for(booking, "review")
    has_died = theatre.killing("worker", point)
    if point == "after void":
        past = "update bookings set review_until = now() where id = %s"
        theatre.conn.execute(past, [booking])
        theatre.wait_for(booking, "failed")
    else:
        given_up = "select cancel_booking(event_id, id, buyer_id) from bookings where id = %s"
        theatre.row(given_up, booking)
        theatre.wait_for(booking, "cancelled")
    has_died()
    (intent,) = theatre.intents(booking)
    assert (intent["status"], intent["captured"], intent["held"]) == ("canceled", 0, 0)
    assert violations(theatre.conn) == []


def test_a_decline_survives(theatre: Killable) -> None:
    booking = theatre.hold()
    has_died = theatre.killing("worker", "before settle commits")
    theatre.pay(booking, "pm_card_visa_chargeDeclined")
    theatre.wait_for(booking, "held")
    has_died()
    assert len(theatre.intents(booking)) == 1
    assert violations(theatre.conn) == []


def test_a_void_survives(theatre: Killable) -> None:
    """A booking that ended while money was reserved for it, and the gateway away."""
    booking = theatre.hold()
    theatre.pay(booking, "pm_card_threeDSecure2Required")
    wait_until(lambda: theatre.payment(booking)["state"] == "requires_action" and theatre.is_idle())
    has_died = theatre.killing("worker", "after void")
    theatre.sale.release(booking)
    wait_until(lambda: theatre.payment(booking)["state"] == "voided" and theatre.is_idle())
    has_died()
    assert theatre.intents(booking)[0]["status"] == "canceled"
    assert violations(theatre.conn) == []


@pytest.mark.parametrize(
    "point", ["before refund", "after refund", "before refund commits", "after refund commits"]
)
def test_a_refund_survives(theatre: Killable, point: str) -> None:
    booking = theatre.hold()
    theatre.pay(booking)
    theatre.wait_for(booking, "confirmed")
    has_died = theatre.killing("worker", point)
    asked = "select outcome from request_refund(%s, null, %s, null, 1000, true, 'ill', true)"
    assert theatre.row(asked, theatre.sale.event, booking)["outcome"] == "done"
    refund = "select * from refunds where booking_id = %s"
    wait_until(lambda: theatre.row(refund, booking)["state"] == "succeeded" and theatre.is_idle())
    has_died()
    (intent,) = theatre.intents(booking)
    assert (intent["captured"], intent["refunded"]) == (PRICE, 1000)
    assert theatre.payment(booking)["refunded"] == 1000
    mails = "select count(*) as n from emails where booking_id = %s and template = 'refunded'"
    assert theatre.row(mails, booking)["n"] == 1
    assert violations(theatre.conn) == []


@pytest.mark.parametrize("point", ["before cancel batch commits", "after cancel batch"])
def test_cancelling_an_event_survives(theatre: Killable, point: str) -> None:
    opera = replace(theatre, sale=build_evening(theatre.conn))
    bookings = [opera.hold() for _ in range(3)]
    for booking in bookings:
        opera.pay(booking)
        opera.wait_for(booking, "confirmed")
    has_died = opera.killing("worker", point)
    started = "select start_cancellation(%s, null, 'ill', true) as outcome"
    assert opera.row(started, opera.sale.event)["outcome"] == "started"
    for booking in bookings:
        opera.wait_for(booking, "cancelled")
        (intent,) = opera.intents(booking)
        assert intent["refunded"] == PRICE
    has_died()
    assert violations(theatre.conn) == []


@pytest.mark.faults("what is missing")
@pytest.mark.parametrize("point", ["before page of mails commits", "after page of mails"])
def test_telling_of_a_postponement_survives(theatre: Killable, point: str) -> None:
    opera = replace(theatre, sale=build_evening(theatre.conn))
    bookings = [opera.hold() for _ in range(3)]
    for booking in bookings:
        opera.pay(booking)
        opera.wait_for(booking, "confirmed")
    has_died = opera.killing("mailer", point)
    postpone = """select outcome from events, start_postponement(id, null,
        starts_at + interval '1 day', null, null, starts_at, '') where id = %s"""
    assert opera.row(postpone, opera.sale.event)["outcome"] == "started"
    query = """select count(*) as mails, count(distinct booking_id) as bookings from emails
        where event_id = %s and template = 'postponed' and state = 'sent'"""
    wanted = {"mails": 3, "bookings": 3}
    wait_until(lambda: opera.row(query, opera.sale.event) == wanted, PATIENCE)
    has_died()
    assert violations(theatre.conn) == []


@pytest.mark.parametrize("point", ["before receipts commit", "after receipts"])
def test_numbering_survives(theatre: Killable, point: str) -> None:
    """Neither a gap nor a number twice, and everybody has one."""
    bookings = [theatre.hold() for _ in range(3)]
    has_died = theatre.killing("worker", point)
    for booking in bookings:
        theatre.pay(booking)
    for booking in bookings:
        theatre.wait_for(booking, "confirmed")
    query = "select booking_id from receipts where booking_id = any (%s) order by number"
    wait_until(lambda: len(theatre.conn.execute(query, [bookings]).fetchall()) == 3, PATIENCE)
    has_died()
    assert violations(theatre.conn) == []
    of_this_sale = "select number from receipts where event_id = %s order by 1"
    rows = theatre.conn.execute(of_this_sale, [theatre.sale.event]).fetchall()
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("point", ["after reconciled page", "before reconciled page commits"])
def test_a_reconciliation_survives(theatre: Killable, point: str) -> None:
    """It goes on with the page at which it was killed: each payment is compared once."""
    booking = theatre.hold()
    theatre.pay(booking)
    theatre.wait_for(booking, "confirmed")
    intents = "select count(gateway_ref) as n from payments"
    refunds = "select count(gateway_ref) as n from refunds"
    things = theatre.row(intents)["n"] + theatre.row(refunds)["n"]
    has_died = theatre.killing("keeper", point)
    window = "now() - interval '1 hour', now() + interval '1 hour'"
    theatre.row(f"select start_reconciliations('asked', {window})".encode())
    wait_until(theatre.is_idle, PATIENCE)
    has_died()
    run = theatre.row("select * from reconciliations order by id desc limit 1")
    assert (run["state"], run["checked"], run["differences"]) == ("finished", things, 0)
    assert violations(theatre.conn) == []


@pytest.mark.parametrize("point", ["before mail", "after mail"])
def test_a_mail_survives(theatre: Killable, point: str) -> None:
    """Killed after sending, it is sent again: under the same Message-ID, so it is one mail."""
    booking = theatre.hold()
    has_died = theatre.killing("mailer", point)
    theatre.pay(booking)
    theatre.wait_for(booking, "confirmed")
    has_died()
    query = """
        select b.email, m.* from emails m join buyers b on b.id = m.buyer_id
        where booking_id = %s and template = 'confirmed'"""
    mail = theatre.row(query, booking)
    assert mail["state"] == "sent"
    assert mail["attempts"] == 2
    url = f"{theatre.stack.catcher_url}/messages"
    caught = requests.get(url, params={"to": mail["email"]}, timeout=5).json()
    assert len(caught) == (2 if point == "after mail" else 1)
    assert {message["message_id"] for message in caught} == {f"<{mail['id']}@usher.example>"}
    assert violations(theatre.conn) == []
