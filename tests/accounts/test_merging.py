"""Two accounts of one person become one, or the merge is refused with a reason."""

from uuid import UUID

import pytest
from flask import Flask

from db.connections import Conn, one
from db.maintenance import invariants
from tests.support.world import Answer, Caller, Sale, backstage, verify

BOB = "bob@example.org"


@pytest.fixture(autouse=True)
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads for each request what was ended."""
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


def merge(into: Caller, conn: Conn, email: str = BOB, **changed: str) -> Answer:
    asked = into.post("/v1/me/merge", {"email": email})
    assert asked.status_code == 202
    query = """select context ->> 'code' as code from emails where template = 'merge'
        order by created_at desc limit 1"""
    row = conn.execute(query).fetchone()
    body = {"request": asked.json["request"], "code": row["code"] if row else "000000"}
    return into.post("/v1/me/merge/confirmation", body | changed)


def seats_of(conn: Conn, buyer: Caller) -> int:
    query = "select coalesce(sum(seats), 0) as n from buyer_seats where buyer_id = %s"
    return int(one(conn.execute(query, [buyer.id]))["n"])


def buy(sale: Sale, buyer: Caller, conn: Conn, **wish: object) -> str:
    booking = sale.book(buyer, conn, **wish)
    backstage(sale, conn).confirm(UUID(booking["id"]))
    return str(booking["id"])


def test_all_that_one_has_bought_is_the_others(
    anybody: Caller, tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    """Bookings, tickets, and what counts for the cap. The other account is closed."""
    verify(alice, conn)
    ids = {buy(tosca, alice, conn, seats=["1-1"]), buy(tosca, bob, conn, seats=["1-2", "1-3"])}
    merged = merge(alice, conn)
    assert (merged.status_code, merged.json["id"]) == (200, alice.id), merged.text
    assert {row["id"] for row in alice.get("/v1/me/bookings").json} == ids
    for id in ids:
        tickets = alice.get(f"{tosca.path}/bookings/{id}/tickets")
        assert [ticket["state"] for ticket in tickets.json] == ["valid"] * len(tickets.json)
    assert (seats_of(conn, alice), seats_of(conn, bob)) == (3, 0)
    assert bob.get("/v1/me").status_code == 401
    assert anybody.post("/v1/tokens", {"email": BOB}).status_code == 202
    row = one(conn.execute("select merged_into, closed_at from accounts where id = %s", [bob.id]))
    assert (row["merged_into"], row["closed_at"] is not None) == (alice.id, True)
    assert one(conn.execute("select action from audit_log where account_id = %s", [bob.id]))
    assert invariants.violations(conn) == []


def test_a_guest_claims_bookings_by_a_code_and_keeps_them(
    anybody: Caller, tosca: Sale, bob: Caller, conn: Conn
) -> None:
    """An account without a password is entered by its mail; then a password makes it a full one."""
    id = buy(tosca, bob, conn, seats=["1-2"])
    asked = anybody.post("/v1/tokens", {"email": BOB}).json
    row = one(conn.execute("select context ->> 'code' as c from emails where template='sign_in'"))
    signed = anybody.post("/v1/tokens", {"request": asked["request"], "code": row["c"]}).json
    me = Caller(anybody.client, signed["token"])
    assert [b["id"] for b in me.get("/v1/me/bookings").json] == [id]
    assert me.call("PUT", "/v1/me/password", {"password": "battery staple"}).status_code == 204


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json["conflict_reason"]


def test_seats_over_the_cap_are_not_merged(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    verify(alice, conn)
    buy(tosca, alice, conn, category=2, quantity=8)
    buy(tosca, bob, conn, category=2, quantity=1)
    assert refusal(merge(alice, conn)) == (409, "over_cap")
    assert (seats_of(conn, alice), seats_of(conn, bob)) == (8, 1)
    assert bob.get("/v1/me").status_code == 200


def test_what_is_under_way_is_not_merged(
    tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    verify(alice, conn)
    tosca.join(bob)
    assert refusal(merge(alice, conn)) == (409, "unfinished_bookings")
    tosca.drain(conn)
    assert refusal(merge(alice, conn)) == (409, "unfinished_bookings")


def test_both_accounts_have_to_be_proved(alice: Caller, bob: Caller, conn: Conn) -> None:
    assert refusal(merge(alice, conn)) == (409, "address_not_verified")
    verify(alice, conn)
    assert merge(alice, conn, code="x").status_code == 422
    assert merge(alice, conn, request="x" * 43).status_code == 422
    assert bob.get("/v1/me").status_code == 200


def test_an_account_is_not_merged_with_itself_nor_with_none(
    alice: Caller, bob: Caller, conn: Conn
) -> None:
    verify(alice, conn)
    assert refusal(merge(alice, conn, "alice@example.org")) == (409, "cannot_be_merged")
    assert merge(alice, conn, "none@example.org").status_code == 422
