"""Refunds over HTTP: who may, what they see, once."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from db.connections import Conn
from tests.support.world import Answer, Caller, Sale, path_of

WHOLE = {"reason": "ill"}


def give_back(
    sale: Sale, booking: dict[str, Any], key: str = "key", by: Caller | None = None, **asked: Any
) -> Answer:
    return (by or sale.opera).post(f"{path_of(sale, booking)}/refunds", WHOLE | asked, key=key)


def test_an_organiser_gives_back_a_whole_booking(
    tosca: Sale, alice: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    answer = give_back(tosca, paid)
    assert answer.status_code == 201, answer.text
    refund = answer.json["refund"]
    assert (refund["amount"], refund["currency"], refund["state"]) == (19_000, "EUR", "pending")
    assert (refund["reason"], refund["seats"]) == ("ill", ["1-1", "1-2"])
    assert answer.json["booking_state"] == "cancelled"
    task = conn.execute("SELECT actor, key, priority FROM outbox WHERE queue <> 'mail'").fetchone()
    assert task == {"actor": "refund", "key": refund["id"], "priority": 80}
    seen = alice.get(path_of(tosca, paid)).json
    assert [(r["id"], r["amount"], r["state"]) for r in seen["refunds"]] == [
        (refund["id"], 19_000, "pending")
    ]
    assert [item["returned"] for item in seen["items"]] == [True, True]
    shown = alice.get(f"{path_of(tosca, paid)}/tickets").json
    assert {ticket["id"] for ticket in shown} == set(answer.json["returned"])
    assert {ticket["state"] for ticket in shown} == {"void"}
    assert tosca.book(alice, conn, quantity=8)["quantity"] == 8, "the cap has the seats back"


def test_once_however_often_it_is_asked(tosca: Sale, paid: dict[str, Any], conn: Conn) -> None:
    first, again = (give_back(tosca, paid, amount=1000) for _ in range(2))
    assert (first.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert conn.execute("SELECT refunded FROM payments").fetchall() == [{"refunded": 1000}]
    assert give_back(tosca, paid, amount=2000).status_code == 422
    missing = tosca.opera.post(f"{path_of(tosca, paid)}/refunds", WHOLE)
    assert missing.status_code == 400


def test_the_books_of_a_booking(tosca: Sale, alice: Caller, paid: dict[str, Any]) -> None:
    (one, _) = alice.get(f"{path_of(tosca, paid)}/tickets").json
    give_back(tosca, paid, tickets=[one["id"]], with_fees=False)
    books = tosca.opera.get(f"{path_of(tosca, paid)}/refunds").json
    assert (books["captured"], books["refunded"], books["available"]) == (19_000, 9_000, 10_000)
    assert (books["owed"], books["booking_state"]) == (0, "confirmed")
    assert [refund["seats"] for refund in books["refunds"]] == [["1-1"]]


def test_it_says_why_not(tosca: Sale, paid: dict[str, Any]) -> None:
    too_much = give_back(tosca, paid, amount=19_001)
    assert (too_much.status_code, too_much.json["conflict_reason"]) == (409, "more_than_captured")
    assert too_much.json["available"] == 19_000
    unknown = give_back(tosca, paid, tickets=[str(uuid4())])
    assert (unknown.status_code, unknown.json["errors"][0]["path"]) == (422, "tickets")
    give_back(tosca, paid, key="all")
    again = give_back(tosca, paid, key="again")
    assert (again.status_code, again.json["conflict_reason"]) == (409, "not_confirmed")


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"reason": " "}, "reason"),
        ({"amount": 0}, "amount"),
        ({"amount": 9.5}, "amount"),
        ({"tickets": []}, "tickets"),
        ({"tickets": ["x"]}, "tickets[0]"),
        ({"tickets": [str(UUID(int=1))] * 2}, "tickets"),
        ({"with_fees": "yes"}, "with_fees"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_it_refuses_nonsense(
    tosca: Sale, paid: dict[str, Any], asked: dict[str, Any], path: str
) -> None:
    answer = give_back(tosca, paid, **asked)
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, path)


def test_another_organiser_sees_nothing_of_it(
    tosca: Sale, alice: Caller, circus: Caller, paid: dict[str, Any]
) -> None:
    assert give_back(tosca, paid, by=circus).status_code == 404
    assert circus.get(f"{path_of(tosca, paid)}/refunds").status_code == 404
    assert give_back(tosca, paid, by=alice).status_code == 403
    assert alice.get(path_of(tosca, paid)).json["state"] == "confirmed"


@pytest.fixture
def owed(tosca: Sale, paid: dict[str, Any], conn: Conn) -> str:
    """A refund of 10.00 that failed, beside one that did not."""
    give_back(tosca, paid, amount=500, key="other")
    refund = give_back(tosca, paid, amount=1000).json["refund"]
    conn.execute("UPDATE refunds SET state = 'failed' WHERE id = %s", [refund["id"]])
    return str(refund["id"])


def test_what_is_owed_is_listed(
    tosca: Sale, circus: Caller, paid: dict[str, Any], owed: str
) -> None:
    listed = tosca.opera.get(f"{tosca.path}/refunds?owed=true").json
    assert [(r["id"], r["booking_id"], r["amount"]) for r in listed] == [(owed, paid["id"], 1000)]
    assert circus.get(f"{tosca.path}/refunds").status_code == 404
    first = tosca.opera.get(f"{tosca.path}/refunds?limit=1")
    assert [refund["id"] for refund in first.json] == [owed]
    following = first.headers["Link"].split(">")[0].lstrip("<")
    assert [refund["amount"] for refund in tosca.opera.get(following).json] == [500]


def test_what_is_owed_is_tried_anew_once(
    tosca: Sale, circus: Caller, paid: dict[str, Any], owed: str
) -> None:
    path = f"{path_of(tosca, paid)}/refunds/{owed}/retry"
    assert circus.post(path, key="key").status_code == 404
    first, again = (tosca.opera.post(path, key="anew") for _ in range(2))
    assert (first.status_code, first.json["state"], first.json["amount"]) == (201, "pending", 1000)
    assert again.json == first.json
    assert tosca.opera.post(path, key="more").json["conflict_reason"] == "not_owed"
    assert tosca.opera.get(f"{tosca.path}/refunds?owed=true").json == []


def test_what_is_owed_is_paid_otherwise(tosca: Sale, paid: dict[str, Any], owed: str) -> None:
    path = f"{path_of(tosca, paid)}/refunds/{owed}/settlement"
    answer = tosca.opera.call("PUT", path, {"how": "in cash"})
    assert (answer.status_code, answer.json["settlement"]) == (200, "in cash")
    assert (answer.json["owed"], answer.json["state"]) == (False, "failed")
