"""A buyer may say what they were shown that the booking costs. If it costs another sum when seats
would be held, none are held, and the answer has the new one."""

from typing import Any
from uuid import uuid4

import pytest

from db.connections import Conn, one
from tests.support.theatre import PRICE, Theatre, another, build_theatre, is_waited_for
from tests.support.waiting import in_thread, wait_until
from tests.support.world import Answer, Caller, Sale

pytestmark = pytest.mark.faults("what is missing")

DEARER = [{"category": 1, "price": 12_000, "fee": 500}, {"category": 2, "price": 6000}]


def raise_prices(sale: Sale, **changes: Any) -> None:
    answer = sale.opera.patch(sale.path, {"categories": DEARER} | changes)
    assert answer.status_code == 200, answer.text


def book(sale: Sale, buyer: Caller, **wish: Any) -> Answer:
    return buyer.post(f"{sale.path}/bookings", wish, key=str(uuid4()))


def entry_of(sale: Sale, buyer: Caller, joined: Answer) -> dict[str, Any]:
    entry: dict[str, Any] = buyer.get(f"{sale.path}/queue/{joined.json['id']}").json
    return entry


def is_refused(answer: Answer, total: int) -> bool:
    found = (answer.status_code, answer.json.get("conflict_reason"), answer.json.get("total"))
    return found == (409, "price_changed", total)


@pytest.mark.parametrize(
    ("wish", "total"),
    [
        ({"quantity": 2, "category": 1}, 19_000),
        ({"quantity": 3, "category": 2}, 15_000),
        ({"seats": ["1-1", "2-1"]}, 14_500),
        ({"seats": ["1-1"]}, 9500),
    ],
)
def test_who_expects_what_it_costs_gets_it(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn, wish: dict[str, Any], total: int
) -> None:
    for wrong in (total - 1, total + 1, 0):
        assert is_refused(tosca.join(alice, **wish, expected_total=wrong), total)
    conn.execute("update events set gated = false")
    assert is_refused(book(tosca, bob, **wish, expected_total=total + 1), total)
    assert conn.execute("select from entries").fetchall() == []
    booking = book(tosca, bob, **wish, expected_total=total)
    assert (booking.status_code, booking.json["total"]) == (201, total)
    if "category" in wish:
        assert tosca.book(alice, conn, **wish, expected_total=total)["total"] == total


def test_the_fee_of_the_booking_is_in_the_total(hall: Sale, alice: Caller, conn: Conn) -> None:
    sale = hall.add_event(booking_fee=300).open()
    wish: dict[str, Any] = {"quantity": 2, "category": 1}
    assert is_refused(sale.join(alice, **wish, expected_total=19_000), 19_300)
    assert sale.book(alice, conn, **wish, expected_total=19_300)["total"] == 19_300


def test_free_seats_cost_nothing(hall: Sale, alice: Caller, conn: Conn) -> None:
    prices = [{"category": 1, "price": 9000}, {"category": 2, "price": 0}]
    sale = hall.add_event(categories=prices, booking_fee=300).open()
    wish: dict[str, Any] = {"quantity": 2, "category": 2}
    assert is_refused(sale.join(alice, **wish, expected_total=300), 0)
    assert sale.book(alice, conn, **wish, expected_total=0)["state"] == "confirmed"


@pytest.mark.parametrize(("currency", "price"), [("KRW", 25_000), ("KWD", 25_000)])
def test_totals_of_other_currencies_are_in_minor_units(
    hall: Sale, alice: Caller, conn: Conn, currency: str, price: int
) -> None:
    prices = [{"category": n, "price": price} for n in (1, 2)]
    sale = hall.add_event(currency=currency, categories=prices).open()
    wish: dict[str, Any] = {"quantity": 2, "category": 1}
    assert is_refused(sale.join(alice, **wish, expected_total=price), 2 * price)
    assert sale.book(alice, conn, **wish, expected_total=2 * price)["currency"] == currency


def test_a_price_that_changes_between_wish_and_hold(
    tosca: Sale, alice: Caller, bob: Caller, charlie: Caller, conn: Conn
) -> None:
    """The one who expected the old price is told; others get their seats, in their order."""
    expects = tosca.join(alice, quantity=2, category=1, expected_total=19_000)
    silent = tosca.join(bob, quantity=2, category=1)
    knows = tosca.join(charlie, quantity=2, category=2, expected_total=10_000)
    raise_prices(tosca)
    for _ in range(3):
        tosca.drain(conn)
    told = entry_of(tosca, alice, expects)
    assert (told["state"], told["reason"]) == ("unavailable", "price_changed")
    assert (told["expected_total"], told["total"]) == (19_000, 25_000)
    assert entry_of(tosca, charlie, knows)["reason"] == "price_changed"
    entry = entry_of(tosca, bob, silent)
    assert (entry["state"], entry["expected_total"], entry["total"]) == ("booked", None, None)
    seats = conn.execute("select p.guid from seats s join plan_seats p on p.seat = s.seat and"
                         " p.plan_version_id = %s where s.state = 'held' order by s.seat",
                         [tosca.plan["version_id"]]).fetchall()  # fmt: skip
    assert len(seats) == 2
    assert tosca.book(alice, conn, quantity=2, category=1, expected_total=25_000)


def test_who_agrees_while_waiting_keeps_the_place(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    joined = tosca.join(alice, quantity=2, category=1, expected_total=19_000)
    path = f"{tosca.path}/queue/{joined.json['id']}"
    raise_prices(tosca)
    entry = alice.get(path).json
    assert (entry["state"], entry["expected_total"], entry["total"]) == ("waiting", 19_000, 25_000)
    assert is_refused(alice.patch(path, {"expected_total": 20_000}), 25_000)
    assert bob.patch(path, {"expected_total": 25_000}).status_code == 404
    agreed = alice.patch(path, {"expected_total": 25_000})
    assert (agreed.status_code, agreed.json["number"]) == (200, joined.json["number"])
    tosca.drain(conn)
    assert alice.get(path).json["state"] == "booked"
    late = alice.patch(path, {"expected_total": 25_000})
    assert (late.status_code, late.json["conflict_reason"]) == (409, "decided")


def test_an_entry_that_expects_nothing_cannot_begin_to(tosca: Sale, alice: Caller) -> None:
    joined = tosca.join(alice, quantity=2, category=1)
    answer = alice.patch(f"{tosca.path}/queue/{joined.json['id']}", {"expected_total": 19_000})
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "no_total")


@pytest.mark.parametrize(
    "wish",
    [
        {"quantity": 2, "expected_total": 19_000},
        {"quantity": 2, "admission": True, "expected_total": 19_000},
        {"quantity": 2, "category": 1, "expected_total": -1},
        {"quantity": 2, "category": 1, "expected_total": "19000"},
        {"quantity": 2, "category": 1, "expected_total": None},
    ],
)
def test_a_total_needs_a_choice_of_seats(tosca: Sale, alice: Caller, wish: dict[str, Any]) -> None:
    answer = tosca.join(alice, **wish)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["path"] in ("expected_total", "admission")


def test_with_a_pass_the_total_is_said_when_seats_are_chosen(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    joined = tosca.join(alice, quantity=2, admission=True)
    tosca.drain(conn)
    taken = alice.post(f"{tosca.path}/queue/{joined.json['id']}/pass")
    wish: dict[str, Any] = {"pass": taken.json["pass"], "seats": ["1-1"]}
    raise_prices(tosca)
    assert is_refused(book(tosca, alice, **wish, expected_total=9500), 12_500)
    assert book(tosca, alice, **wish, expected_total=12_500).status_code == 201


def test_a_repeated_wish_gets_the_entry_that_it_made(tosca: Sale, alice: Caller) -> None:
    wish = {"quantity": 2, "category": 1, "expected_total": 19_000}
    first = tosca.join(alice, key="key", **wish)
    raise_prices(tosca)
    assert tosca.join(alice, key="key", **wish).json["id"] == first.json["id"]
    other = tosca.join(alice, key="key", **wish | {"expected_total": 25_000})
    assert (other.status_code, other.json["conflict_reason"]) == (422, "key_reused")


def test_companions_seats_of_another_price_count(conn: Conn) -> None:
    """The companion sits beside the wheelchair, in a category of its own."""
    theatre = build_theatre(conn, {1: ["w"], 2: ["k"]}, prices={2: 1000})
    query = """select c.* from events e, changed_totals(e, %s, '{1,1}', '{1,2}') c"""
    assert one(conn.execute(query, [[2 * PRICE]])) == {"entry": 1, "total": PRICE + 1000}
    assert conn.execute(query, [[PRICE + 1000]]).fetchall() == []
    assert theatre.event


def expecting(theatre: Theatre, quantity: int, total: int, category: int = 1) -> int:
    number = theatre.enter(quantity, category)
    theatre.conn.execute(
        "update entries set expected_total = %s where number = %s", [total, number]
    )
    return number


def set_price(theatre: Theatre, price: int) -> None:
    query = "select change_prices(%s, '{1}', array[%s::bigint], '{0}', '{0}')"
    theatre.conn.execute(query, [theatre.event, price])


def test_seats_that_a_refused_entry_would_have_had_go_to_the_next(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..."]})
    expecting(theatre, 3, 3 * PRICE)
    theatre.enter(2)
    theatre.enter(1)
    set_price(theatre, PRICE + 1)
    theatre.serve()
    assert theatre.states() == ["unavailable", "booked", "booked"]
    assert sorted(theatre.draw()) == ["2", "2", "3"]


def test_a_batch_without_any_total_is_decided_at_once(conn: Conn) -> None:
    """And one with totals that are right, too: nothing is read twice."""
    theatre = build_theatre(conn, {1: ["." * 10] * 4})
    for _ in range(10):
        theatre.enter(1)
        expecting(theatre, 2, 2 * PRICE)
    assert theatre.drain().booked == 20


def test_an_entry_on_standby_is_told_when_its_turn_comes(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    booking = theatre.book(2)
    expecting(theatre, 2, 2 * PRICE)
    theatre.serve()
    assert theatre.states()[1] in ("waiting", "standby")
    set_price(theatre, PRICE - 1)
    theatre.expire(booking)
    theatre.serve()
    assert theatre.entries()[2].reason == "price_changed"
    assert theatre.draw() == ".."


def test_a_price_changes_while_the_drain_decides(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    """The change waits for the batch; then the next one has the new price."""
    first = tosca.join(alice, quantity=2, category=1, expected_total=19_000)
    with another(conn) as drain:
        drain.execute("select from lane_state for update")
        drain.execute("select drain_lane(%s, 100)", [tosca.id])
        with in_thread(lambda: raise_prices(tosca)):
            wait_until(lambda: is_waited_for(drain))
            second = tosca.join(bob, quantity=2, category=1, expected_total=19_000)
            drain.commit()
    tosca.drain(conn)
    assert entry_of(tosca, alice, first)["state"] == "booked"
    assert entry_of(tosca, bob, second)["reason"] == "price_changed"
