"""What the fields of an event say together: methods and currency, times, amounts."""

from datetime import timedelta
from typing import Any

import pytest

from db.bookings import bookings
from db.connections import Conn, one
from ops.sandbox.stripe.cards import METHODS as SANDBOX_METHODS
from tests.support.theatre import build_evening
from tests.support.world import Caller, Sale, event_fields, in_hours, path_of
from web.support.enumerations import METHOD

DAY = 24
FAR: dict[str, Any] = {"starts_at": in_hours(60 * DAY), "off_sale_at": in_hours(59 * DAY)}


def refused(sale: Sale, changes: dict[str, Any]) -> tuple[str, str]:
    """The path and reason for which a new event is refused, and a draft's change, too."""
    fields = event_fields(sale.venue, sale.plan, **changes)
    made = sale.opera.post("/v1/events", fields)
    draft = sale.add_event()
    changed = sale.opera.patch(draft.path, changes | {"categories": fields["categories"]})
    assert (made.status_code, changed.status_code) == (422, 422), (made.text, changed.text)
    assert made.json["errors"] == changed.json["errors"]
    assert made.json["conflict_reason"] == changed.json["conflict_reason"]
    assert sale.opera.get(draft.path).json["payment_methods"] == ["card"]
    return made.json["errors"][0]["path"], made.json["conflict_reason"]


@pytest.mark.faults("F8")
@pytest.mark.parametrize(
    ("currency", "methods"),
    [
        ("USD", ["sepa_debit"]),
        ("EUR", ["us_bank_account"]),
        ("EUR", ["card", "us_bank_account"]),
        ("GBP", ["card", "ideal"]),
        ("CHF", ["bancontact"]),
        ("EUR", ["twint"]),
        ("EUR", ["card", "blik"]),
        ("CZK", ["p24"]),
        ("DKK", ["eps"]),
    ],
)
def test_a_method_that_cannot_charge_the_currency_is_refused(
    hall: Sale, currency: str, methods: list[str]
) -> None:
    path, reason = refused(hall, {"currency": currency, "payment_methods": methods})
    assert (path, reason) == ("payment_methods", "method_not_in_currency")


@pytest.mark.faults("F8")
@pytest.mark.parametrize(
    ("currency", "methods"),
    [
        ("EUR", ["card", "sepa_debit", "ideal", "bancontact", "eps", "p24"]),
        ("USD", ["us_bank_account"]),
        ("CHF", ["twint", "card"]),
        ("PLN", ["p24", "blik"]),
        ("KWD", ["card"]),
    ],
)
def test_methods_that_can_charge_the_currency(
    hall: Sale, currency: str, methods: list[str]
) -> None:
    hall.add_event(currency=currency, payment_methods=methods, **FAR).open()


@pytest.mark.faults("F8")
def test_methods_are_looked_at_again_when_the_sale_opens(hall: Sale, conn: Conn) -> None:
    draft = hall.add_event()
    conn.execute("update events set payment_methods = '{card,us_bank_account}'")
    answer = hall.opera.post(f"{draft.path}/open")
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "payment_methods")
    assert "us_bank_account cannot charge EUR" in answer.json["detail"]
    assert conn.execute("select from seats").fetchall() == []


@pytest.mark.faults("F8")
def test_a_method_for_less_than_every_booking_is_refused(hall: Sale) -> None:
    """TWINT ends at 5,000 CHF; cards do not."""
    prices = [{"category": n, "price": 500_001} for n in (1, 2)]
    changes: dict[str, Any] = {"currency": "CHF", "categories": prices}
    changes["payment_methods"] = ["card", "twint"]
    answer = hall.opera.post("/v1/events", event_fields(hall.venue, hall.plan, **changes))
    assert (answer.status_code, answer.json["conflict_reason"]) == (422, "method_limits")


@pytest.mark.faults("F8")
def test_a_booking_beyond_the_limit_of_a_method_is_paid_with_another(
    hall: Sale, alice: Caller, conn: Conn
) -> None:
    prices = [{"category": n, "price": 300_000} for n in (1, 2)]
    sale = hall.add_event(categories=prices, currency="CHF", payment_methods=["card", "twint"])
    sale.open()
    booking = sale.book(alice, conn, quantity=2)
    path = f"{path_of(sale, booking)}/payment"
    twint = {"method": "twint", "payment_method": "pm_1"}
    answer = alice.post(path, twint, key="twint")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "amount_not_possible")
    assert alice.post(path, twint | {"method": "card"}, key="card").status_code == 202


@pytest.mark.faults("F8")
def test_an_event_from_before_the_check_tells_its_buyers(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    conn.execute("update events set payment_methods = '{us_bank_account}'")
    booking = tosca.book(alice, conn)
    body = {"method": "us_bank_account", "payment_method": "pm_1"}
    answer = alice.post(f"{path_of(tosca, booking)}/payment", body, key="pay")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "no_such_method")


@pytest.mark.faults("F8")
def test_one_table_says_what_methods_can_charge(conn: Conn) -> None:
    """What the API takes is in the table, and may stand in an event; the sandbox agrees."""
    rows = conn.execute("select method, array_agg(lower(currency)) as charges from payment_methods"
                        " group by method").fetchall()  # fmt: skip
    charges = {row["method"]: set(row["charges"]) for row in rows}
    assert set(charges) == set(METHOD.words)
    build_evening(conn)
    for method in METHOD.words:
        conn.execute("update events set payment_methods = array[%s]", [method])
    for test_method in SANDBOX_METHODS.values():
        if test_method.currency:
            assert charges[test_method.type] == {test_method.currency}
    count = "select count(*) as n from currencies"
    assert len(charges["card"]) == one(conn.execute(count))["n"]


@pytest.mark.faults("F18")
def test_another_currency_needs_all_amounts_anew(hall: Sale) -> None:
    draft = hall.add_event(booking_fee=150)
    prices = [{"category": n, "price": 25_000} for n in (1, 2)]
    given: dict[str, Any]
    for given, path in (
        ({}, "categories"),
        ({"booking_fee": 1000}, "categories"),
        ({"categories": prices}, "booking_fee"),
    ):
        answer = hall.opera.patch(draft.path, {"currency": "KRW"} | given)
        assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, path)
        assert answer.json["conflict_reason"] == "amounts_in_other_currency"
        assert hall.opera.get(draft.path).json["currency"] == "EUR"
    body = {"currency": "KRW", "categories": prices, "booking_fee": 0}
    changed = hall.opera.patch(draft.path, body)
    assert (changed.status_code, changed.json["currency"]) == (200, "KRW")
    assert [price["price"] for price in changed.json["categories"]] == [25_000, 25_000]


@pytest.mark.faults("F18")
def test_the_same_currency_and_a_free_event_need_none(hall: Sale) -> None:
    assert hall.opera.patch(hall.add_event().path, {"currency": "EUR"}).status_code == 200
    free = hall.add_event(categories=[{"category": n, "price": 0} for n in (1, 2)])
    changed = hall.opera.patch(free.path, {"currency": "KRW"})
    assert (changed.status_code, changed.json["currency"]) == (200, "KRW")


@pytest.mark.faults("F11")
@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"starts_at": "2020-06-01T20:00:00+02:00"}, "starts_at", "starts_in_the_past"),
        ({"starts_at": in_hours(-0.1)}, "starts_at", "starts_in_the_past"),
        ({"on_sale_at": in_hours(49), "off_sale_at": in_hours(50)}, "on_sale_at",
         "sale_after_start"),
        ({"off_sale_at": in_hours(369 * DAY)}, "off_sale_at", "sale_too_long"),
        ({"on_sale_at": in_hours(47.9), "off_sale_at": in_hours(47.95), "hold_seconds": 86_400},
         "hold_seconds", "hold_too_long"),
        ({"payment_methods": ["sepa_debit", "card"]}, "payment_methods", "method_too_slow"),
    ],
)  # fmt: skip
def test_times_that_do_not_fit_each_other_are_refused(
    hall: Sale, changes: dict[str, Any], path: str, reason: str
) -> None:
    assert refused(hall, changes) == (path, reason)


@pytest.mark.faults("F11")
def test_an_event_that_has_begun_meanwhile_does_not_open(hall: Sale, conn: Conn) -> None:
    """One that was open may be opened again: a festival goes on."""
    draft, festival = hall.add_event(), hall.add_event().open()
    assert hall.opera.post(f"{festival.path}/close").status_code == 200
    conn.execute("update events set starts_at = now() - interval '1 min'")
    answer = hall.opera.post(f"{draft.path}/open")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "starts_in_the_past")
    assert hall.opera.patch(draft.path, {"name": "Aida"}).status_code == 200
    festival.open()


@pytest.mark.faults("F11")
@pytest.mark.parametrize(
    ("hold", "starts_in", "seconds"),
    [(86_400, 30, 86_400), (86_400, 1, 3600), (86_400, 1 / 60, 600), (300, -1, 300)],
)
def test_a_hold_ends_when_the_event_begins(
    conn: Conn, hold: int, starts_in: float, seconds: int
) -> None:
    """A buyer at the last moment has ten minutes to pay."""
    theatre = build_evening(conn)
    start = one(conn.execute("select now() as now"))["now"] + timedelta(hours=starts_in)
    theatre.set_event(hold_seconds=hold, starts_at=start)
    booking = theatre.hold("alice")
    query = "select extract(epoch from deadline - created_at)::float8 as held from bookings"
    assert one(conn.execute(query))["held"] == pytest.approx(seconds, abs=30)
    for half, reminded in ((seconds / 2 - 60, 0), (seconds / 2 + 60, 1)):
        ago = "created_at = now() - make_interval(secs => %s), deadline = now() + make_interval("
        query = f"update bookings set {ago}secs => %s) where id = %s"
        conn.execute(query.encode(), [half, seconds - half, booking])
        assert bookings.remind_holders(conn, 10) == reminded


@pytest.mark.faults("F11")
@pytest.mark.parametrize("left", ["20 min", "7 days"])
def test_a_debit_that_takes_days_is_refused_when_the_event_is_near(
    hall: Sale, alice: Caller, conn: Conn, left: str
) -> None:
    sale = hall.add_event(payment_methods=["card", "sepa_debit"], **FAR).open()
    booking = sale.book(alice, conn)
    conn.execute("update events set starts_at = now() + %s::interval", [left])
    debit = {"method": "sepa_debit", "payment_method": "pm_1"}
    path = f"{path_of(sale, booking)}/payment"
    answer = alice.post(path, debit, key="debit")
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "method_too_slow")
    assert "another method" in answer.json["detail"]
    assert alice.post(path, debit | {"method": "card"}, key="card").status_code == 202
