"""What mails say about money and times, from the row to the words."""

from typing import Any
from uuid import UUID

import pytest

from db.catalogue.currencies import list_currencies
from db.connections import Conn, one
from db.mail import emails
from tasks.mail.rendering import render
from tests.support.theatre import Theatre, build_evening


@pytest.fixture
def theatre(configured: dict[str, str], conn: Conn) -> Theatre:
    return build_evening(conn)


def words(theatre: Theatre, template: str) -> str:
    """The text of the only mail of a template; the HTML has the same figures."""
    (row,) = theatre.conn.execute("select id from emails where template = %s", [template])
    (mail,) = emails.take(theatre.conn, [row["id"]], list_currencies(theatre.conn))
    _, text, html = render(mail)
    for line in text.splitlines():
        amount = line.rpartition(": ")[2] if line.endswith(" EUR") else ""
        assert amount in html, line
    return text


def paid(theatre: Theatre, **changes: Any) -> UUID:
    """Two tickets of 52.50, paid."""
    if changes:
        theatre.set_event(**changes)
    booking = theatre.hold("alice")
    theatre.confirm(booking)
    return booking


def give_back(
    theatre: Theatre, booking: UUID, tickets: int, amount: int | None = None, *, fees: bool = True
) -> UUID:
    """As an organiser, who tells the buyer."""
    query = """
        select outcome, refund_id from request_refund(%(event)s, null, %(booking)s,
            case when %(tickets)s > 0 then array(
                select id from tickets where booking_id = %(booking)s and state = 'valid'
                order by seat limit %(tickets)s) end, %(amount)s, %(fees)s, 'asked', true)"""
    values = {"event": theatre.event, "booking": booking, "tickets": tickets, "amount": amount}
    row = one(theatre.conn.execute(query, values | {"fees": fees}))
    assert row["outcome"] == "done"
    told = [theatre.event, row["refund_id"]]
    theatre.conn.execute("select tell_of_refund(%s, %s, 'refunded')", told)
    return UUID(str(row["refund_id"]))


SEATS = [
    "- Stalls, row 1, seat 5 (Stalls): 52.50 EUR",
    "- Stalls, row 1, seat 6 (Stalls): 52.50 EUR",
]


def test_before_a_refund_it_is_the_total(theatre: Theatre) -> None:
    paid(theatre, booking_fee=150)
    said = words(theatre, "confirmed")
    assert [line for line in said.splitlines() if line.startswith("- Stalls")] == SEATS
    assert "- Booking fee: 1.50 EUR\nTotal: 106.50 EUR\n  of it 19 % tax: 16.76 EUR\n" in said
    assert "Given back" not in said


@pytest.mark.faults("F20")
def test_the_mail_of_a_part_refund_shows_what_is_left(theatre: Theatre) -> None:
    give_back(theatre, paid(theatre, booking_fee=150, booking_fee_tax_rate=0.07), 1)
    said = words(theatre, "refunded")
    assert "No longer valid:\n- Stalls, row 1, seat 5\n" in said
    assert [line for line in said.splitlines() if line.startswith("- Stalls")][1:] == SEATS[1:]
    assert "Paid: 106.50 EUR\nGiven back: 52.50 EUR\nRemaining: 54.00 EUR\n" in said
    assert "  of it 7 % tax: 0.10 EUR\n  of it 19 % tax: 8.38 EUR\n" in said
    assert "Total" not in said
    assert "105.00" not in said


@pytest.mark.faults("F20")
@pytest.mark.parametrize(
    ("tickets", "amount", "fees", "left", "tax"),
    [
        (1, None, False, "55.00 EUR", "8.78 EUR"),  # the fee of the returned ticket is kept
        (1, 10000, True, "5.00 EUR", "0.80 EUR"),
        (0, 500, True, "100.00 EUR", "15.96 EUR"),
    ],
)
def test_amounts_that_are_not_a_ticket(
    theatre: Theatre, tickets: int, amount: int | None, fees: bool, left: str, tax: str
) -> None:
    give_back(theatre, paid(theatre), tickets, amount, fees=fees)
    said = words(theatre, "refunded")
    assert f"Remaining: {left}\n  of it 19 % tax: {tax}\n" in said


@pytest.mark.faults("F20")
def test_the_mail_of_a_whole_refund_shows_no_price(theatre: Theatre) -> None:
    give_back(theatre, paid(theatre, booking_fee=150), 2)
    said = words(theatre, "refunded")
    assert "- Stalls, row 1, seat 5 (Stalls)\n- Stalls, row 1, seat 6 (Stalls)\n" in said
    assert "Paid: 106.50 EUR\nGiven back: 106.50 EUR\nRemaining: 0.00 EUR\n" in said
    assert "Booking fee" not in said
    assert "tax" not in said


@pytest.mark.faults("F20")
def test_later_mails_know_of_the_refund(theatre: Theatre) -> None:
    """A dispute about the rest, and the refund that failed after all."""
    booking = paid(theatre)
    refund = give_back(theatre, booking, 1)
    theatre.conn.execute("select notify_buyers(%s, %s, 'unfrozen')", [theatre.event, [booking]])
    assert "Remaining: 52.50 EUR" in words(theatre, "unfrozen")
    theatre.conn.execute("update refunds set state = 'failed'")
    told = [theatre.event, refund]
    theatre.conn.execute("select tell_of_refund(%s, %s, 'refund_failed')", told)
    said = words(theatre, "refund_failed")
    assert "Given back: 0.00 EUR\nRemaining: 105.00 EUR\n" in said
    assert [line for line in said.splitlines() if line.startswith("- Stalls")] == SEATS[1:]


@pytest.mark.faults("F16")
@pytest.mark.parametrize(
    ("starts_at", "zone", "written"),
    [
        ("2027-10-31 02:30+02:00", "Europe/Berlin",
         "Sunday 31 October 2027, 02:30 (Europe/Berlin, UTC+02:00)"),
        ("2027-10-31 02:30+01:00", "Europe/Berlin",
         "Sunday 31 October 2027, 02:30 (Europe/Berlin, UTC+01:00)"),
        ("2027-11-07 01:30-03:30", "America/St_Johns",
         "Sunday 7 November 2027, 01:30 (America/St_Johns, UTC-03:30)"),
        ("2027-06-01 20:00+00:00", "UTC", "Tuesday 1 June 2027, 20:00 (UTC, UTC+00:00)"),
    ],
)  # fmt: skip
def test_a_time_in_a_mail_is_said_with_its_offset(
    theatre: Theatre, starts_at: str, zone: str, written: str
) -> None:
    paid(theatre, starts_at=starts_at, time_zone=zone)
    assert f"\n{written}\n" in words(theatre, "confirmed")
