"""Money paid offline over HTTP: who may say what."""

from typing import Any
from uuid import UUID

import pytest

from db.connections import Conn
from tests.support.world import CARD, Answer, Caller, Sale, path_of, verify

OFFLINE = {"method": "offline"}
RECEIPT = {"reference": "till 7", "amount": 19_000, "currency": "EUR"}


@pytest.fixture
def fair(hall: Sale) -> Sale:
    """An event that can be paid offline, too."""
    return hall.add_event(offline_seconds=3600, offline_instructions="At the till").open()


def choose(sale: Sale, buyer: Caller, conn: Conn) -> dict[str, Any]:
    verify(buyer, conn)
    booking = sale.book(buyer, conn, seats=["1-1", "1-2"])
    answer = buyer.post(f"{path_of(sale, booking)}/payment", OFFLINE, key="pay")
    assert answer.status_code == 202, answer.text
    assert answer.json["payment"]["state"] == "requires_action"
    return booking


@pytest.mark.faults("H3")
def test_who_has_not_verified_an_address_holds_no_seats_offline(
    fair: Sale, alice: Caller, conn: Conn
) -> None:
    booking = fair.book(alice, conn, seats=["1-1", "1-2"])
    refused = alice.post(f"{path_of(fair, booking)}/payment", OFFLINE, key="pay")
    assert refused.status_code == 409
    assert refused.json["conflict_reason"] == "address_not_verified"
    assert alice.get(path_of(fair, booking)).json["state"] == "held"
    verify(alice, conn)
    accepted = alice.post(f"{path_of(fair, booking)}/payment", OFFLINE, key="pay")
    assert accepted.status_code == 202


def mark(
    sale: Sale, booking: dict[str, Any], key: str = "key", by: Caller | None = None, **given: Any
) -> Answer:
    path = f"{path_of(sale, booking)}/payment/paid"
    return (by or sale.opera).post(path, RECEIPT | given, key=key)


def test_the_buyer_sees_how_to_pay(fair: Sale, alice: Caller, conn: Conn) -> None:
    booking = choose(fair, alice, conn)
    seen = alice.get(path_of(fair, booking)).json
    assert (seen["state"], seen["payment"]["method"]) == ("authorising", "offline")
    how = seen["payment"]["next_action"]["pay_offline"]
    assert (how["reference"], how["amount"]) == (booking["code"], 19_000)
    assert how["instructions"] == "At the till"
    assert 3500 < seen["seconds_left"] <= 3600


def test_an_event_says_how_it_can_be_paid(hall: Sale, alice: Caller, conn: Conn) -> None:
    sale = hall.add_event(payment_methods=[], offline_seconds=600)
    shown = sale.opera.get(sale.path).json
    assert (shown["payment_methods"], shown["offline_seconds"]) == ([], 600)
    changed = sale.opera.patch(sale.path, {"payment_methods": ["card"], "offline_seconds": None})
    assert (changed.json["payment_methods"], changed.json["offline_seconds"]) == (["card"], None)
    refused = sale.opera.patch(sale.path, {"payment_methods": []})
    assert (refused.status_code, refused.json["errors"][0]["path"]) == (422, "payment_methods")
    booking = sale.open().book(alice, conn)
    offline = alice.post(f"{path_of(sale, booking)}/payment", OFFLINE, key="pay")
    assert (offline.status_code, offline.json["conflict_reason"]) == (409, "no_such_method")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"payment_methods": ["cash"]}, "payment_methods[0]"),
        ({"payment_methods": ["card", "card"]}, "payment_methods"),
        ({"payment_methods": []}, "payment_methods"),
        ({"offline_seconds": 59}, "offline_seconds"),
    ],
)
def test_an_event_that_nobody_could_pay_is_refused(
    hall: Sale, fields: dict[str, Any], path: str
) -> None:
    body = {"venue_id": hall.venue["id"]} | fields
    with pytest.raises(AssertionError, match=path.replace("[", r"\[").replace("]", r"\]")):
        hall.add_event(**body)


@pytest.mark.parametrize(
    "body", [OFFLINE | CARD, {"method": "card"}, {"method": "cash"}, {"method": "sepa_debit"}]
)
def test_a_buyer_names_a_card_or_pays_offline(
    fair: Sale, alice: Caller, conn: Conn, body: dict[str, str]
) -> None:
    booking = fair.book(alice, conn)
    answer = alice.post(f"{path_of(fair, booking)}/payment", body, key="pay")
    assert answer.status_code == 422


def test_an_organiser_marks_it_as_paid(
    fair: Sale, alice: Caller, circus: Caller, conn: Conn
) -> None:
    booking = choose(fair, alice, conn)
    assert mark(fair, booking, by=circus).status_code == 404
    assert mark(fair, booking, by=alice).status_code == 403
    first, again = (mark(fair, booking) for _ in range(2))
    assert (first.status_code, first.json["late"], again.json) == (202, False, first.json)
    tasks = conn.execute("SELECT key FROM outbox WHERE actor = 'advance'").fetchall()
    assert tasks == [{"key": booking["id"]}]
    assert mark(fair, booking, key="other").status_code == 202


def test_it_says_why_not(fair: Sale, alice: Caller, bob: Caller, conn: Conn) -> None:
    booking = choose(fair, alice, conn)
    wrong = mark(fair, booking, amount=1)
    assert (wrong.status_code, wrong.json["conflict_reason"]) == (409, "wrong_money")
    assert (wrong.json["amount"], wrong.json["currency"]) == (19_000, "EUR")
    mark(fair, booking, key="right")
    other = fair.book(bob, conn, seats=["1-3", "1-4"])
    verify(bob, conn)
    assert mark(fair, other).json["conflict_reason"] == "not_offline"
    bob.post(f"{path_of(fair, other)}/payment", OFFLINE, key="pay")
    used = mark(fair, other)
    assert (used.status_code, used.json["errors"][0]["path"]) == (422, "reference")
    twice = mark(fair, booking, key="more", reference="till 8")
    assert (twice.status_code, twice.json["conflict_reason"]) == (409, "already_paid")


def test_payments_are_found_by_their_code(
    fair: Sale, alice: Caller, bob: Caller, circus: Caller, conn: Conn
) -> None:
    paid = choose(fair, alice, conn)
    mark(fair, paid)
    waiting = fair.book(bob, conn, seats=["1-3"])
    verify(bob, conn)
    bob.post(f"{path_of(fair, waiting)}/payment", OFFLINE, key="pay")
    path = f"{fair.path}/offline-payments"
    (found,) = fair.opera.get(f"{path}?code={paid['code']}").json
    assert (found["booking_id"], found["reference"]) == (paid["id"], "till 7")
    (found,) = fair.opera.get(f"{path}?waiting=true").json
    assert (found["booking_id"], found["amount"]) == (waiting["id"], 9_500)
    first = fair.opera.get(f"{path}?limit=1")
    following = first.headers["Link"].split(">")[0].lstrip("<")
    (second,) = fair.opera.get(following).json
    assert [first.json[0]["booking_id"], second["booking_id"]] == [waiting["id"], paid["id"]]
    assert circus.get(path).status_code == 404


@pytest.mark.faults("F19")
def test_a_reference_is_found_however_it_is_written(
    fair: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    booking, other = choose(fair, alice, conn), fair.book(bob, conn, seats=["1-3"])
    bob.post(f"{path_of(fair, other)}/payment", OFFLINE, key="pay")
    code = booking["code"]
    wide = "".join(chr(ord(character) + 0xFEE0) for character in code)  # as in East Asian text
    for written in (
        *(code, code.lower(), f"  {code} ", f"{code[:4]} {code[4:]}", "-".join(code)),
        *(f"Booking {code}", f"/REF/{code.lower()}//A. SMITH", f"\u00ab{code}\u00bb.", wide),
        *(f"{code[:4]}\u00a0{code[4:]}", f"{code[:3]}\u200b{code[3:]}"),
    ):
        answer = fair.opera.get(f"{fair.path}/offline-payments", query_string={"code": written})
        assert [found["booking_id"] for found in answer.json] == [booking["id"]], written
    for written in (code[:7], code[::-1] + "X", "...", "\u00df"):
        answer = fair.opera.get(f"{fair.path}/offline-payments", query_string={"code": written})
        assert answer.json == [], written


def test_a_refund_that_was_paid_is_marked(
    fair: Sale, alice: Caller, circus: Caller, conn: Conn
) -> None:
    booking = choose(fair, alice, conn)
    mark(fair, booking)
    conn.execute("UPDATE payments SET state = 'captured', captured = amount")
    conn.execute("UPDATE bookings SET state = 'secured'")
    conn.execute("SELECT confirm_bookings(event_id, array[id], array[payment_id]) FROM bookings")
    asked = fair.opera.post(f"{path_of(fair, booking)}/refunds", {"reason": "ill"}, key="back")
    path = f"{path_of(fair, booking)}/refunds/{asked.json['refund']['id']}/paid"
    assert circus.post(path, {"how": "cash"}).status_code == 404
    assert fair.opera.post(path, {"how": " "}).status_code == 422
    answers = [fair.opera.post(path, {"how": "cash"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    rows = conn.execute("SELECT how, recorded_by FROM offline_refunds").fetchall()
    assert [row["how"] for row in rows] == ["cash"]
    unknown = path.replace(asked.json["refund"]["id"], str(UUID(int=1)))
    assert fair.opera.post(unknown, {"how": "cash"}).status_code == 404


# At the counter: the organisation books for a buyer who stands before it.


@pytest.fixture
def counter(hall: Sale) -> Sale:
    return hall.add_event(gated=False, offline_seconds=3600, offline_instructions="Here").open()


def book_at_counter(
    sale: Sale, email: str, by: Caller | None = None, key: str = "sale 1", **wish: Any
) -> Answer:
    body = {"email": email, "name": "Alice", "seats": ["1-1", "1-2"]} | wish
    return (by or sale.opera).post(f"{sale.path}/counter-bookings", body, key=key)


def email_of(buyer: Caller) -> str:
    return str(buyer.get("/v1/me").json["email"])


@pytest.mark.faults("First minutes")
def test_the_counter_sells_to_a_buyer_who_has_an_account(
    counter: Sale, alice: Caller, conn: Conn
) -> None:
    sold = book_at_counter(counter, email_of(alice).upper())
    assert (sold.status_code, sold.json["total"]) == (201, 19_000), sold.text
    assert sold.json["payment"]["next_action"]["pay_offline"]["reference"] == sold.json["code"]
    paid = mark(counter, sold.json)
    assert (paid.status_code, paid.json["late"]) == (202, False)
    mine = alice.get("/v1/me/bookings").json
    assert [booking["code"] for booking in mine] == [sold.json["code"]]
    again = book_at_counter(counter, email_of(alice).upper())
    assert again.json["id"] == sold.json["id"]  # under the same key


@pytest.mark.faults("First minutes")
def test_the_counter_sells_to_a_buyer_who_has_none(counter: Sale, conn: Conn) -> None:
    for key, seat in (("1", "1-1"), ("2", "1-2")):
        sold = book_at_counter(counter, "erin@usher.example", key=key, seats=[seat])
        assert sold.status_code == 201, sold.text
        mark(counter, sold.json, key=key, amount=sold.json["total"], reference=f"till {key}")
    query = "select count(*) as n from buyers where email = 'erin@usher.example'"
    assert conn.execute(query).fetchall() == [{"n": 1}]


@pytest.mark.faults("H3")
def test_the_counter_sells_to_a_buyer_whose_holds_were_not_paid(
    counter: Sale, alice: Caller, conn: Conn
) -> None:
    conn.execute(
        "insert into buyer_seats (event_id, buyer_id, seats, cap, unpaid_holds, unpaid_at)"
        " values (%s, %s, 0, 8, 6, now())",
        [counter.id, alice.id],
    )
    wish = {"seats": ["1-1"]}
    alone = alice.post(f"{counter.path}/bookings", wish, key="alone")
    assert (alone.status_code, alone.json["conflict_reason"]) == (409, "unpaid_holds")
    assert book_at_counter(counter, email_of(alice)).status_code == 201


@pytest.mark.faults("First minutes")
def test_only_the_events_organisation_sells_at_its_counter(
    counter: Sale, hall: Sale, alice: Caller, circus: Caller, conn: Conn
) -> None:
    assert book_at_counter(counter, "erin@usher.example", alice).status_code == 403
    assert book_at_counter(counter, "erin@usher.example", circus).status_code == 404
    card_only = hall.add_event(gated=False).open()
    refused = book_at_counter(card_only, "erin@usher.example")
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "no_such_method")
    assert conn.execute("select from bookings").fetchall() == []
    assert not conn.execute("select from buyers where email like 'erin%'").fetchall()
