"""Bookings as buyers see them: reading, paying, giving up, tickets."""

from uuid import uuid4

import pytest

from db.connections import Conn
from db.presentation.gateway_words import FAILURES
from tests.support.world import CARD, Caller, Sale, path_of, pay


def test_a_booking_shows_seats_prices_and_time_left(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn, seats=["1-1", "2-1"])
    assert booking["state"] == "held"
    assert (booking["total"], booking["currency"], booking["quantity"]) == (14_500, "EUR", 2)
    assert 590 < booking["seconds_left"] <= 600
    assert booking["payment"] is None
    assert len(booking["code"]) == 8
    best, rest = sorted(booking["items"], key=lambda item: str(item["guid"]))
    assert best == {
        "guid": "1-1", "zone": "Floor", "row": "1", "row_label": "", "number": "1", "category": 1,
        "price_type": 1, "area": 1, "price": 9000, "fee": 500, "tax_rate": 0.19, "tax": 1517,
        "returned": False,
    }  # fmt: skip
    assert (rest["price"], rest["fee"], rest["tax"]) == (5000, 0, 0)


def test_a_deadline_is_credited_what_the_gateway_was_out(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn)
    conn.execute("""
        INSERT INTO outages SELECT id, clock_timestamp(), clock_timestamp() + interval '90 s'
        FROM gateway_accounts""")
    later = alice.get(path_of(tosca, booking)).json
    assert 680 < later["seconds_left"] <= 690
    (listed,) = alice.get("/v1/me/bookings").json
    assert listed["time_zone"] == "Europe/Berlin"
    assert listed["deadline"] == later["deadline"]


def test_a_booking_is_its_buyers_own(tosca: Sale, alice: Caller, bob: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    path = path_of(tosca, booking)
    tickets = f"{path}/tickets"
    answers = [
        bob.get(path),
        bob.delete(path),
        pay(tosca, bob, booking),
        bob.get(tickets),
        bob.get(f"{tickets}/{uuid4()}.svg"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert bob.get("/v1/me/bookings").json == []
    assert alice.get(path).json["state"] == "held"


def test_paying_begins_once_however_often_it_is_asked(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn)
    first, again = pay(tosca, alice, booking), pay(tosca, alice, booking)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json["state"] == "authorising"
    assert first.json["payment"]["state"] == "intended"
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    seen = alice.get(path_of(tosca, booking)).json
    assert (seen["state"], seen["payment"]["id"]) == ("authorising", first.json["payment"]["id"])
    assert len(conn.execute("SELECT FROM payments").fetchall()) == 1
    tasks = conn.execute("SELECT key FROM outbox WHERE actor = 'advance'").fetchall()
    assert [task["key"] for task in tasks] == [booking["id"]]


def test_a_second_attempt_waits_for_the_first(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    pay(tosca, alice, booking, "first")
    second = pay(tosca, alice, booking, "second")
    assert (second.status_code, second.json["conflict_reason"]) == (409, "payment_in_progress")


def test_a_refusal_is_not_kept_under_the_key(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
    route = f"POST {tosca.path}/bookings/{booking['id']}/payment"
    with conn.transaction():
        conn.execute(lock, [f"buyer:{alice.id} {route} pay"])
        busy = pay(tosca, alice, booking)
    assert (busy.status_code, busy.json["conflict_reason"]) == (409, "in_flight")
    assert pay(tosca, alice, booking).status_code == 202


def test_paying_needs_a_key(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    answer = alice.post(f"{path_of(tosca, booking)}/payment", CARD)
    assert answer.status_code == 400


def test_paying_after_the_deadline_is_refused(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    conn.execute("UPDATE bookings SET deadline = clock_timestamp() - interval '1 s'")
    late = pay(tosca, alice, booking)
    assert (late.status_code, late.json["conflict_reason"]) == (409, "deadline_passed")
    assert alice.get(path_of(tosca, booking)).json["seconds_left"] == 0


def test_giving_up_frees_the_seats(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn, quantity=8)
    assert alice.delete(path_of(tosca, booking)).status_code == 204
    gone = alice.get(path_of(tosca, booking)).json
    assert (gone["state"], gone["reason"], gone["seconds_left"]) == ("cancelled", "buyer", None)
    assert conn.execute("SELECT FROM seats WHERE state <> 'free'").fetchall() == []
    assert alice.delete(path_of(tosca, booking)).status_code == 204
    assert tosca.book(alice, conn, quantity=8)["state"] == "held"


def test_giving_up_while_paying_asks_the_gateway_first(
    tosca: Sale, alice: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn)
    pay(tosca, alice, booking)
    conn.execute("DELETE FROM outbox")
    assert alice.delete(path_of(tosca, booking)).status_code == 202
    assert alice.get(path_of(tosca, booking)).json["state"] == "expiring"
    assert len(conn.execute("SELECT FROM seats WHERE state = 'held'").fetchall()) == 2
    task = conn.execute("SELECT actor, key FROM outbox").fetchone()
    assert task == {"actor": "advance", "key": booking["id"]}


def test_a_confirmed_booking_cannot_be_given_up(hall: Sale, alice: Caller, conn: Conn) -> None:
    free = [{"category": 1, "price": 0}, {"category": 2, "price": 0}]
    event = hall.add_event(categories=free).open()
    booking = event.book(alice, conn)
    assert booking["state"] == "confirmed"
    answer = alice.delete(path_of(event, booking))
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "not_cancellable")


def test_tickets_come_with_confirmation(hall: Sale, alice: Caller, conn: Conn) -> None:
    free = [{"category": 1, "price": 0}, {"category": 2, "price": 0}]
    event = hall.add_event(categories=free).open()
    booking = event.book(alice, conn, seats=["1-1", "1-2"])
    tickets = alice.get(f"{path_of(event, booking)}/tickets").json
    assert [ticket["guid"] for ticket in tickets] == ["1-1", "1-2"]
    assert {ticket["state"] for ticket in tickets} == {"valid"}
    assert len({ticket["secret"] for ticket in tickets}) == 2
    code = alice.get(f"{path_of(event, booking)}/tickets/{tickets[0]['id']}.svg")
    assert (code.status_code, code.mimetype) == (200, "image/svg+xml")
    other = alice.get(f"{path_of(event, booking)}/tickets/{tickets[1]['id']}.svg")
    assert b"<svg" in code.data
    assert code.data != other.data


def test_a_void_ticket_has_no_code(hall: Sale, alice: Caller, conn: Conn) -> None:
    free = [{"category": 1, "price": 0}, {"category": 2, "price": 0}]
    event = hall.add_event(categories=free).open()
    booking = event.book(alice, conn, quantity=1)
    conn.execute("UPDATE tickets SET state = 'void', voided_at = clock_timestamp()")
    (ticket,) = alice.get(f"{path_of(event, booking)}/tickets").json
    assert ticket["state"] == "void"
    path = f"{path_of(event, booking)}/tickets/{ticket['id']}.svg"
    assert alice.get(path).status_code == 404


def test_a_held_booking_has_no_tickets_yet(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    answer = alice.get(f"{path_of(tosca, booking)}/tickets")
    assert (answer.status_code, answer.json) == (200, [])


def test_my_bookings_come_latest_first_in_pages(hall: Sale, alice: Caller, conn: Conn) -> None:
    ids = [hall.add_event().open().book(alice, conn)["id"] for _ in range(3)]
    first = alice.get("/v1/me/bookings?limit=2")
    assert [booking["id"] for booking in first.json] == [ids[2], ids[1]]
    assert first.json[0]["event"] == "Tosca"
    next_path = first.headers["Link"].split(">")[0].lstrip("<")
    assert [booking["id"] for booking in alice.get(next_path).json] == [ids[0]]


@pytest.mark.parametrize("method", ["pm_", "card", "pm_x y", 5, None])
def test_it_refuses_what_is_no_payment_method(
    tosca: Sale, alice: Caller, conn: Conn, method: object
) -> None:
    booking = tosca.book(alice, conn)
    body = {"payment_method": method}
    answer = alice.post(f"{path_of(tosca, booking)}/payment", body, key="pay")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["path"] == "payment_method"


THEIRS = "The provided PaymentMethod has failed authentication. You can provide a new one."


@pytest.mark.faults("texts of others")
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("payment_intent_authentication_failure", "not_approved"),
        ("authentication_required", "not_approved"),
        *((code, "declined") for code in ("stolen_card", "insufficient_funds", "incorrect_cvc")),
        *((code, "declined") for code in ("card_declined", "a_code_of_next_year", "")),
        ("refused", "refused"),
        ("not_sent", "not_sent"),
        ("late_money", "returned"),
        ("wrong_money", "returned"),
    ],
)
def test_a_failed_payment_is_told_in_our_words(
    tosca: Sale, alice: Caller, conn: Conn, code: str, told: str
) -> None:
    """The gateway's are for programmers, and tell which stolen card is a good one."""
    booking = tosca.book(alice, conn)
    pay(tosca, alice, booking)
    conn.execute("UPDATE payments SET state = 'failed', failure_code = %s, failure_message = %s",
                 [code, THEIRS])  # fmt: skip
    answer = alice.get(path_of(tosca, booking))
    assert answer.json["payment"]["failure"]["code"] == told
    assert answer.json["payment"]["failure"]["message"] == FAILURES[told]
    assert "PaymentMethod" not in answer.text
    assert told == code or not code or code not in answer.text


def test_a_payment_that_did_not_fail_has_no_failure(tosca: Sale, alice: Caller, conn: Conn) -> None:
    booking = tosca.book(alice, conn)
    pay(tosca, alice, booking)
    assert alice.get(path_of(tosca, booking)).json["payment"]["failure"] is None
