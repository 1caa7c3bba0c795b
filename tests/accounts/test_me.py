"""A person's own account: name, password, address, closing; and what operators may do to it."""

from typing import Any

import pytest
from flask import Flask

from db.accounts import accounts, codes
from db.connections import Conn, transaction
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, sign_up

DORA = {"email": "dora@example.org", "name": "Dora", "password": "correct horse"}
NEW = "dora@example.net"


@pytest.fixture(autouse=True)
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads for each request what was ended."""
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


@pytest.fixture
def dora(anybody: Caller) -> Caller:
    made = anybody.post("/v1/accounts", DORA).json
    return Caller(anybody.client, made["token"], made["id"])


def sign_in(anybody: Caller, password: str, email: str = DORA["email"]) -> Answer:
    return anybody.post("/v1/tokens", {"email": email, "password": password})


def codes_of(conn: Conn) -> dict[str, str]:
    """The latest code of each kind."""
    query = "select template, context ->> 'code' as code from emails order by created_at"
    return {row["template"]: row["code"] for row in conn.execute(query)}


def by_code(anybody: Caller, conn: Conn, email: str) -> Caller:
    """Who signs in by a mailed code."""
    asked = anybody.post("/v1/tokens", {"email": email}).json
    code = {"request": asked["request"], "code": codes_of(conn)["sign_in"]}
    return Caller(anybody.client, anybody.post("/v1/tokens", code).json["token"])


def test_name_and_language_change(dora: Caller) -> None:
    changed = dora.patch("/v1/me", {"name": "Dora Maar", "language": "pt-BR"})
    assert (changed.status_code, changed.json) == (200, dora.get("/v1/me").json)
    assert (changed.json["name"], changed.json["language"]) == ("Dora Maar", "pt-BR")
    assert dora.patch("/v1/me", {"language": "de"}).json["name"] == "Dora Maar"
    for wrong in ({}, {"language": "German"}, {"name": ""}, {"email": NEW}):
        assert dora.patch("/v1/me", wrong).status_code == 422


def test_a_password_is_changed_with_the_one_before(anybody: Caller, dora: Caller) -> None:
    """Other sessions end: who knew the old one may have them."""
    other = Caller(anybody.client, sign_in(anybody, DORA["password"]).json["token"])
    new = {"password": "battery staple"}
    assert dora.call("PUT", "/v1/me/password", new).status_code == 403
    wrong = dora.call("PUT", "/v1/me/password", new | {"current_password": "wrong horse"})
    assert wrong.status_code == 403
    right = new | {"current_password": DORA["password"]}
    assert dora.call("PUT", "/v1/me/password", right).status_code == 204
    assert (dora.get("/v1/me").status_code, other.get("/v1/me").status_code) == (200, 401)
    statuses = [sign_in(anybody, p).status_code for p in (DORA["password"], "battery staple")]
    assert statuses == [401, 201]


def test_a_guest_sets_a_password(anybody: Caller, alice: Caller) -> None:
    assert alice.call("PUT", "/v1/me/password", {"password": "battery staple"}).status_code == 204
    assert alice.get("/v1/me").json["has_password"] is True
    assert sign_in(anybody, "battery staple", "alice@example.org").status_code == 201


def test_a_forgotten_password_is_replaced_after_a_mailed_code(
    anybody: Caller, dora: Caller, conn: Conn
) -> None:
    """Within ten minutes: later the session may be in other hands."""
    conn.execute("update accounts set verified_at = now()")
    me = by_code(anybody, conn, DORA["email"])
    assert me.call("PUT", "/v1/me/password", {"password": "battery staple"}).status_code == 204
    assert sign_in(anybody, "battery staple").status_code == 201
    conn.execute("update sessions set created_at = created_at - interval '11 min'")
    assert me.call("PUT", "/v1/me/password", {"password": "another one"}).status_code == 403


def test_who_takes_a_session_of_an_account_without_password_sets_none(
    anybody: Caller, alice: Caller, conn: Conn
) -> None:
    me = by_code(anybody, conn, "alice@example.org")
    conn.execute("update sessions set created_at = created_at - interval '11 min'")
    assert me.call("PUT", "/v1/me/password", {"password": "battery staple"}).status_code == 403
    assert me.post("/v1/me/closing", {"understood": True}).status_code == 403


def test_a_password_is_removed(anybody: Caller, dora: Caller) -> None:
    body = {"current_password": DORA["password"]}
    assert dora.post("/v1/me/password/removal", body).status_code == 204
    assert dora.get("/v1/me").json["has_password"] is False
    assert sign_in(anybody, DORA["password"]).status_code == 401


def change_address(me: Caller, conn: Conn, email: str = NEW, **changed: Any) -> Answer:
    asked = me.post("/v1/me/address-change", {"email": email})
    assert asked.status_code == 202, asked.text
    mailed = codes_of(conn)
    both = {"old_code": mailed["old_address"], "new_code": mailed["new_address"]}
    body = {"request": asked.json["request"], **both, **changed}
    return me.post("/v1/me/address-change/confirmation", body)


def test_an_address_changes_when_both_agree(anybody: Caller, dora: Caller, conn: Conn) -> None:
    conn.execute("update accounts set verified_at = now()")
    changed = change_address(dora, conn)
    assert (changed.status_code, changed.json["email"]) == (200, NEW)
    assert {"address_left", "address_changed"} <= codes_of(conn).keys()
    assert sign_in(anybody, DORA["password"], NEW).status_code == 201
    assert sign_in(anybody, DORA["password"]).status_code == 401
    assert anybody.post("/v1/accounts", DORA).status_code == 201, "the old one is free"


def test_a_code_on_its_way_to_the_old_address_opens_nothing_after_the_change(
    anybody: Caller, dora: Caller, conn: Conn
) -> None:
    """Who reads the old mailbox is whom the change is to keep out."""
    asked = anybody.post("/v1/tokens", {"email": DORA["email"]}).json
    change = dora.post("/v1/me/address-change", {"email": NEW}).json
    mailed = codes_of(conn)
    both = {"old_code": mailed["old_address"], "new_code": mailed["new_address"]}
    path = "/v1/me/address-change/confirmation"
    assert dora.post(path, change | both).status_code == 200
    code = {"request": asked["request"], "code": mailed["sign_in"]}
    assert anybody.post("/v1/tokens", code).status_code == 401


@pytest.mark.parametrize("wrong", ["old_code", "new_code"])
def test_one_code_is_not_enough(dora: Caller, conn: Conn, wrong: str) -> None:
    """Nor is the other one used up: both are typed again."""
    asked = dora.post("/v1/me/address-change", {"email": NEW}).json
    mailed = codes_of(conn)
    right = {"old_code": mailed["old_address"], "new_code": mailed["new_address"]}
    path, right = "/v1/me/address-change/confirmation", right | asked
    for _ in range(4):
        assert dora.post(path, right | {wrong: "x"}).status_code == 422
    assert dora.get("/v1/me").json["email"] == DORA["email"]
    assert dora.post(path, right).status_code == 200


def test_an_address_of_another_account_is_not_taken(
    dora: Caller, alice: Caller, conn: Conn
) -> None:
    refused = change_address(dora, conn, "alice@example.org")
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "account_exists")
    assert dora.get("/v1/me").json["email"] == DORA["email"]


def test_the_codes_of_another_account_change_nothing(
    dora: Caller, alice: Caller, conn: Conn
) -> None:
    asked = dora.post("/v1/me/address-change", {"email": NEW}).json
    mailed = codes_of(conn)
    both = {"old_code": mailed["old_address"], "new_code": mailed["new_address"]}
    body = {"request": asked["request"], **both}
    assert alice.post("/v1/me/address-change/confirmation", body).status_code == 422
    assert dora.get("/v1/me").json["email"] == DORA["email"]


def test_both_addresses_are_told(running: Running) -> None:
    """Each gets its own code, and neither sees the other address."""
    buyer = running.sale.add_buyer("alice")
    with transaction() as conn:
        request = accounts.start_address_change(conn, buyer, "new@usher.example")
    with running.work():
        wait_until(lambda: len(running.catcher.mails()) == 2)
        mails = {str(m["X-Envelope-To"]): m.as_string() for m in running.catcher.mails()}
        assert set(mails) == {"alice@usher.example", "new@usher.example"}
        query = "select template, context ->> 'code' as code from emails"
        mailed = {row["template"]: row["code"] for row in running.conn.execute(query)}
        assert mailed["old_address"] in mails["alice@usher.example"]
        assert mailed["new_address"] in mails["new@usher.example"]
        assert "alice" not in mails["new@usher.example"].lower()
        with transaction() as conn:
            assert codes.try_codes(conn, request, mailed) == buyer
            accounts.change_address(conn, buyer)
        wait_until(lambda: len(running.catcher.mails()) == 4)
    told = [str(m["X-Envelope-To"]) for m in running.catcher.mails()]
    assert sorted(told) == sorted([*mails, *mails])


def test_a_closed_account_is_entered_by_no_one_until_an_operator_opens_it(
    anybody: Caller, dora: Caller, operator: Caller
) -> None:
    body = {"understood": True, "current_password": DORA["password"]}
    assert dora.post("/v1/me/closing", body | {"understood": False}).status_code == 422
    assert dora.post("/v1/me/closing", body).status_code == 204
    assert dora.get("/v1/me").status_code == 401
    assert sign_in(anybody, DORA["password"]).status_code == 401
    path = f"/v1/accounts/{dora.id}"
    assert operator.get(path).json["closed_at"] is not None
    assert operator.post(f"{path}/reopening").json["closed_at"] is None
    again = operator.post(f"{path}/reopening")
    assert (again.status_code, again.json["conflict_reason"]) == (409, "account_open")
    assert sign_in(anybody, DORA["password"]).status_code == 201


def test_an_account_that_was_closed_a_moment_ago_is_answered_as_signed_out(
    dora: Caller, conn: Conn
) -> None:
    """A process knows ten seconds later that the session has ended."""
    over = "update accounts set closed_at = now(), erased_at = now() where id = %s"
    conn.execute(over, [dora.id])
    for method, path, body in (
        ("GET", "/v1/me", None),
        ("PATCH", "/v1/me", {"name": "Dora"}),
        ("POST", "/v1/me/address-change", {"email": "new@example.org"}),
        ("POST", "/v1/me/merge/confirmation", {"request": "x", "code": "123456"}),
        ("POST", "/v1/me/second-factor", None),
        ("POST", "/v1/me/passkeys/options", None),
        ("GET", "/v1/me/personal-data", None),
    ):
        assert dora.call(method, path, body).status_code == 401, path


def test_an_operator_blocks_an_account(
    anybody: Caller, dora: Caller, operator: Caller, conn: Conn
) -> None:
    path = f"/v1/accounts/{dora.id}/block"
    blocked = operator.call("PUT", path, {"reason": "tried stolen cards"})
    assert (blocked.status_code, blocked.json["blocked_reason"]) == (200, "tried stolen cards")
    assert dora.get("/v1/me").status_code == 401
    assert sign_in(anybody, DORA["password"]).status_code == 401
    freed = operator.delete(path)
    assert (freed.status_code, freed.json["blocked_at"]) == (200, None)
    assert dora.get("/v1/me").status_code == 401, "its sessions have ended"
    assert sign_in(anybody, DORA["password"]).status_code == 201
    acts = conn.execute(
        "select action from audit_log where account_id = %s order by id", [dora.id]
    ).fetchall()
    assert [act["action"] for act in acts] == ["account blocked", "account unblocked"]
    assert operator.call("PUT", "/v1/accounts/999999/block", {"reason": "x"}).status_code == 404


def test_only_operators_block(app: Flask, dora: Caller, opera: Caller) -> None:
    other = sign_up(app.test_client(), "eve")
    for caller in (dora, other, opera):
        answer = caller.call("PUT", f"/v1/accounts/{dora.id}/block", {"reason": "x"})
        assert answer.status_code == 403
