"""Currencies: what can be charged in them, how amounts are written, what is refused as a price."""

from typing import Any

import pytest

from db.catalogue.currencies import find_currency, list_currencies
from db.connections import Conn, one
from db.presentation.amounts import Currency, written
from ops.sandbox.stripe import money as stripes
from tests.support.world import Caller, Sale, event_fields


@pytest.mark.parametrize(
    ("amount", "code", "text"),
    [
        (495000, "EUR", "4,950.00 EUR"),
        (7, "USD", "0.07 USD"),
        (-5, "GBP", "-0.05 GBP"),
        (495000, "JPY", "495,000 JPY"),
        (5120, "KWD", "5.120 KWD"),
        (50000, "ISK", "500 ISK"),
        (50050, "ISK", "500.50 ISK"),  # cannot be paid, and is not hidden
        (17550, "HUF", "175.50 HUF"),  # of which CLDR would show no fillér
        (0, "MGA", "0 MGA"),
    ],
)
def test_amounts_as_people_read_them(conn: Conn, amount: int, code: str, text: str) -> None:
    currency = find_currency(conn, code)
    assert currency
    assert written(amount, currency) == text


def test_the_sandbox_knows_the_same_currencies_by_itself(conn: Conn) -> None:
    ours = list_currencies(conn)
    theirs = {
        code.upper(): Currency(
            code.upper(),
            stripes.exponent(code),
            stripes.step(code),
            stripes.minimum(code),
            stripes.maximum(code),
        )
        for code in stripes.CURRENCIES
    }
    assert ours == theirs
    assert find_currency(conn, "XAU") is None


@pytest.mark.parametrize(
    ("amount", "rate", "step", "tax"),
    [
        (5250, "0.19", 1, 838),  # 838.24
        (10700, "0.07", 1, 700),
        (33, "0.1", 1, 3),
        (11, "0.1", 2, 2),  # half of a step: up
        (50000, "0.24", 100, 9700),  # whole kronur
        (5120, "0.05", 10, 240),  # 243.8 fils
        (5250, "0", 1, 0),
        (99, "1", 1, 50),  # 49.5: half up
    ],
)
def test_tax_is_contained_and_rounded_half_up_to_what_can_be_paid(
    conn: Conn, amount: int, rate: str, step: int, tax: int
) -> None:
    query = "select tax_in(%s, %s, %s) as tax"
    assert one(conn.execute(query, [amount, rate, step]))["tax"] == tax


def prices(*pairs: tuple[int, int]) -> list[dict[str, int]]:
    return [{"category": n, "price": p, "fee": f} for n, (p, f) in enumerate(pairs, 1)]


@pytest.mark.parametrize(
    ("changes", "path", "reason", "message"),
    [
        ({"currency": "XAU"}, "currency", "unknown_currency", "Nothing can be sold in XAU"),
        ({"categories": prices((49, 0), (0, 0))}, "categories", "too_little", "0.49 EUR"),
        ({"categories": prices((20, 9), (900, 0)), "booking_fee": 20}, "categories", "too_little",
         "The cheapest booking would cost 0.49 EUR"),
        ({"currency": "JPY", "categories": prices((49, 0), (100, 0))}, "categories", "too_little",
         "the least that can be charged is 50 JPY"),
        ({"categories": prices((0, 0), (20_000_000, 0)), "seats_per_buyer": 5}, "seats_per_buyer",
         "too_much", "1,000,000.00 EUR"),
        ({"currency": "ISK", "categories": prices((50050, 0), (0, 0))}, "categories",
         "not_a_multiple", "multiples of 1 ISK"),
        ({"currency": "KWD", "categories": prices((5120, 5), (0, 0))}, "categories",
         "not_a_multiple", "0.005 KWD cannot be paid"),
        ({"currency": "UGX", "categories": prices((5000000, 0), (0, 0)), "booking_fee": 50},
         "booking_fee", "not_a_multiple", "multiples of 1 UGX"),
    ],
)  # fmt: skip
def test_prices_that_nobody_could_pay_are_refused(
    hall: Sale, conn: Conn, changes: dict[str, Any], path: str, reason: str, message: str
) -> None:
    answer = hall.opera.post("/v1/events", event_fields(hall.venue, hall.plan, **changes))
    assert answer.status_code == 422, answer.text
    assert answer.json["conflict_reason"] == reason
    assert answer.json["errors"][0]["path"] == path
    assert message in answer.json["detail"]
    assert conn.execute("SELECT FROM events").fetchall() == []
    draft = hall.add_event()
    changed = hall.opera.patch(draft.path, changes)
    assert (changed.status_code, changed.json["conflict_reason"]) == (422, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": "JPY", "categories": prices((50, 0), (4950, 0))},
        {"currency": "KWD", "categories": prices((5120, 10), (0, 0))},
        {"currency": "ISK", "categories": prices((50000, 0), (0, 0))},
        {"currency": "IDR", "categories": prices((150_000_000, 0), (0, 0))},
        {"categories": prices((20, 9), (900, 0)), "booking_fee": 21},
        {"categories": prices((0, 0), (0, 0)), "booking_fee": 1},  # nobody will ever be charged it
    ],
)
def test_prices_that_can_be_paid(hall: Sale, changes: dict[str, Any]) -> None:
    hall.add_event(**changes).open()


def test_the_box_office_may_charge_a_cent(hall: Sale) -> None:
    offline = {"payment_methods": [], "offline_seconds": 3600}
    hall.add_event(**offline, categories=prices((1, 0), (20_000_000, 0))).open()


def test_prices_are_looked_at_again_when_the_sale_opens(hall: Sale, conn: Conn) -> None:
    draft = hall.add_event(categories=prices((60, 0), (0, 0)))
    conn.execute("update currencies set minimum_charge = 61 where code = 'EUR'")
    answer = hall.opera.post(f"{draft.path}/open")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "too_little")
    assert "0.61 EUR" in answer.json["detail"]
    conn.execute("update currencies set minimum_charge = 60 where code = 'EUR'")
    draft.open()


def test_part_of_a_refund_must_be_payable(hall: Sale, alice: Caller, conn: Conn) -> None:
    sale = hall.add_event(currency="KWD", categories=prices((5120, 0), (0, 0))).open()
    booking = sale.book(alice, conn, category=1)
    path = f"{sale.path}/bookings/{booking['id']}/refunds"
    answer = sale.opera.post(path, {"amount": 1005, "reason": "ill"}, key="once")
    assert (answer.status_code, answer.json["conflict_reason"]) == (422, "not_a_multiple")
