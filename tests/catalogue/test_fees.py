"""The fee of a whole booking: who carries it, that it adds up everywhere, and when it goes back."""

from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import CheckViolation

from db.connections import Conn
from db.maintenance.invariants import violations
from db.maintenance.reports import run_report
from tests.support.mails import parts
from tests.support.paying import BOOKING_FEE, TOTAL, confirmed, with_fee
from tests.support.refunding import ask, cancel, carry_out, given_back, is_over, tickets
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale


@pytest.fixture
def tosca_with_fee(hall: Sale) -> Sale:
    """Categories: 90.00 and 5.00 at 19 %, and free; 1.50 a booking at 7 %."""
    prices = [
        {"category": 1, "price": 9000, "fee": 500, "tax_rate": 0.19},
        {"category": 2, "price": 0},
    ]
    return hall.add_event(
        categories=prices, booking_fee=BOOKING_FEE, booking_fee_tax_rate=0.07, gated=False
    ).open()


def test_it_is_shown_and_adds_up(tosca_with_fee: Sale, alice: Caller, conn: Conn) -> None:
    event = alice.get(tosca_with_fee.path).json
    assert (event["booking_fee"], event["booking_fee_tax_rate"]) == (BOOKING_FEE, 0.07)
    booking = tosca_with_fee.book(alice, conn, seats=["1-1", "1-2"])
    assert booking["total"] == 19_000 + BOOKING_FEE
    assert booking["breakdown"] == {
        "net": 16_106, "tax": 3_044, "total": 19_150, "fees": 1_150, "booking_fee": BOOKING_FEE,
        "taxes": [
            {"rate": 0.07, "net": 140, "tax": 10, "total": BOOKING_FEE},
            {"rate": 0.19, "net": 15_966, "tax": 3_034, "total": 19_000},
        ],
    }  # fmt: skip
    assert sum(item["tax"] for item in booking["items"]) + 10 == booking["breakdown"]["tax"]
    query = "select price_breakdown(%s, %s) as breakdown"
    written = conn.execute(query, [tosca_with_fee.id, booking["id"]]).fetchone()
    assert written == {"breakdown": booking["breakdown"]}, "mails and receipts say the same"
    assert violations(conn) == []


def test_free_tickets_carry_none_but_one_that_costs_something_does(
    tosca_with_fee: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    free = tosca_with_fee.book(alice, conn, quantity=2, category=2)
    assert (free["state"], free["total"], free["breakdown"]["fees"]) == ("confirmed", 0, 0)
    mixed = tosca_with_fee.book(bob, conn, seats=["1-10", "2-10"])
    assert (mixed["state"], mixed["total"]) == ("held", 9_500 + BOOKING_FEE)
    assert violations(conn) == []


def test_who_books_directly_carries_it_too(tosca_with_fee: Sale, alice: Caller, conn: Conn) -> None:
    wish = {"quantity": 2, "category": 1}
    answer = alice.post(f"{tosca_with_fee.path}/bookings", wish, key="key")
    assert answer.status_code == 201, answer.text
    assert answer.json["total"] == 19_000 + BOOKING_FEE
    assert answer.json["breakdown"]["booking_fee"] == BOOKING_FEE


def test_what_was_held_keeps_the_fee_that_it_was_held_with(running: Running) -> None:
    booking = with_fee(running).sale.hold("alice")
    with_fee(running, 999)
    assert running.booking(booking)["fee"] == BOOKING_FEE
    assert running.booking(booking)["fee_tax"] == 10
    running.check()


def test_nobody_pays_a_fee_for_nothing(running: Running) -> None:
    running.sale.hold("alice")
    with pytest.raises(CheckViolation, match="bookings_fee_of_something"):
        running.conn.execute("update bookings set fee = total")


def test_no_item_has_more_tax_than_it_costs(running: Running) -> None:
    running.sale.hold("alice")
    with pytest.raises(CheckViolation, match="booking_items_tax_within"):
        running.conn.execute("update booking_items set tax = price + fee + 1")


def test_it_is_paid_mailed_and_reported(running: Running) -> None:
    booking = confirmed(with_fee(running))
    (intent,) = running.intents(booking)
    assert intent["captured"] == TOTAL
    with running.work():
        wait_until(lambda: running.catcher.mails("alice@usher.example"))
    (mail,) = running.catcher.mails("alice@usher.example")
    for text in parts(mail):
        assert "Booking fee" in text
        assert "106.50 EUR" in text
        assert "7 % tax" in text
        assert "19 % tax" in text
        assert "16.76 EUR" in text
    [revenue] = run_report(running.conn, "revenue", running.sale.event)[1]
    assert (revenue["gross"], revenue["captured"]) == (TOTAL, TOTAL)
    assert (revenue["fees"], revenue["tax"]) == (2 * 250 + BOOKING_FEE, 2 * 838 + 10)
    sales = run_report(running.conn, "sales", running.sale.event)[1]
    assert [(row["category"], row["bookings"], row["seats"], row["amount"]) for row in sales] == [
        ("Stalls", 1, 2, 10_500),
        ("(booking fees)", 1, 0, BOOKING_FEE),
    ]
    running.check()


def test_it_goes_back_with_the_last_ticket(running: Running) -> None:
    booking = confirmed(with_fee(running))
    first, second = tickets(running, booking)
    for ticket, sum_so_far in ((first, 5250), (second, TOTAL)):
        carry_out(running, ask(running, booking, tickets=[ticket])["id"])
        assert given_back(running, booking) == sum_so_far
    running.check()


def test_it_is_kept_with_the_other_fees(running: Running) -> None:
    booking = confirmed(with_fee(running))
    carry_out(running, ask(running, booking, with_fees=False)["id"])
    assert given_back(running, booking) == 10_000
    payment = running.payment(running.booking(booking)["payment_id"])
    assert payment["kept"] == 500 + BOOKING_FEE
    running.check()


@pytest.mark.parametrize(("with_fees", "amount"), [(True, TOTAL), (False, 10_000)])
def test_a_cancelled_event_gives_it_back(running: Running, with_fees: bool, amount: int) -> None:
    booking = confirmed(with_fee(running))
    cancel(running, with_fees=with_fees)
    with running.work():
        wait_until(lambda: is_over(running))
    assert given_back(running, booking) == amount
    running.check()


@pytest.mark.parametrize(
    ("currency", "price", "fee", "booking_fee", "total", "text"),
    [("JPY", 4950, 50, 100, 10_100, "10,100 JPY"), ("KWD", 5120, 250, 150, 10_890, "10.890 KWD")],
)
def test_currencies_without_cents(
    running: Running,
    currency: str,
    price: int,
    fee: int,
    booking_fee: int,
    total: int,
    text: str,
) -> None:
    """The whole way, and part of it back."""
    with_fee(running, booking_fee).conn.execute("update events set currency = %s", [currency])
    query = "update event_categories set price = %s, fee = %s, tax_rate = 0.1 where category = 1"
    running.conn.execute(query, [price, fee])
    booking = confirmed(running)
    (intent,) = running.intents(booking)
    assert (intent["captured"], intent["currency"]) == (total, currency.lower())
    with running.work():
        wait_until(lambda: running.catcher.mails("alice@usher.example"))
    (mail,) = running.catcher.mails("alice@usher.example")
    assert all(text in part for part in parts(mail))
    carry_out(running, ask(running, booking, amount=1000)["id"])
    assert given_back(running, booking) == 1000
    assert find_receipts(running, booking)["total"] == total
    running.check()


def find_receipts(running: Running, booking: UUID) -> dict[str, Any]:
    running.sale.number_receipts()
    query = "select * from receipts where booking_id = %s order by number limit 1"
    return running.conn.execute(query, [booking]).fetchall()[0]
