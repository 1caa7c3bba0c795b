"""Passkeys: added, used to sign in and as a second factor, and all that must not sign in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from db.accounts import passkeys
from db.accounts.passkeys import Answered, NewPasskey
from db.connections import Conn, one, transaction
from db.runtime.errors import InvalidRequest, NotSignedIn
from db.runtime.settings import settings
from tests.support.authenticators import PRESENT, VERIFIED, Device, as_text, from_text
from tests.support.staff import (
    set_up_factor,
    sign_in_as,
    sign_in_by_mail,
    sign_in_staff,
)
from tests.support.world import Answer, Caller, verify
from web.support.signing import sign

HOME = "http://localhost:8000"
PASSKEYS, SIGN_IN, FACTOR = "/v1/me/passkeys", "/v1/tokens/passkey", "/v1/me/second-factor"


@pytest.fixture(autouse=True)
def at_a_host_name(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app knows itself by a name, and reads for each request what was ended."""
    monkeypatch.setenv("PUBLIC_URL", HOME)
    settings.cache_clear()
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


@pytest.fixture
def ana(app: Flask, alice: Caller, conn: Conn) -> Caller:
    """alice, who has signed in by a mailed code."""
    verify(alice, conn)
    return sign_in_as(app, alice.id)


def ask(who: Caller) -> dict[str, Any]:
    asked = who.post(f"{PASSKEYS}/options")
    assert asked.status_code == 200, asked.text
    found: dict[str, Any] = asked.json
    return found


def offer(who: Caller, device: Device, asked: dict[str, Any] | None = None) -> Answer:
    asked = asked or ask(who)
    credential = device.create(asked["public_key"])
    body = {"request": asked["request"], "credential": credential, "name": "The telephone"}
    return who.post(PASSKEYS, body)


def added(who: Caller, **changed: Any) -> Device:
    """A device with a passkey of an account."""
    device = Device(HOME, **changed)
    answer = offer(who, device)
    assert answer.status_code == 201, answer.text
    return device


def answer_with(device: Device, anybody: Caller) -> dict[str, Any]:
    asked = anybody.post(f"{SIGN_IN}/options").json
    return {"request": asked["request"], "credential": device.get(asked["public_key"])}


def sign_in(device: Device, anybody: Caller, **changed: Any) -> Answer:
    return anybody.post(SIGN_IN, answer_with(device, anybody) | changed)


def refused(answer: Answer, status: int = 401) -> bool:
    assert answer.status_code == status, answer.text
    return "token" not in answer.json


def test_a_passkey_signs_in_without_an_address(ana: Caller, anybody: Caller, conn: Conn) -> None:
    device = added(ana)
    signed_in = sign_in(device, anybody)
    assert signed_in.status_code == 201, signed_in.text
    me = Caller(anybody.client, signed_in.json["token"])
    assert me.get("/v1/me").json["id"] == ana.id
    (latest, *_) = me.get("/v1/me/sessions").json
    assert (latest["id"], latest["authenticated_by"]) == (signed_in.json["session_id"], "passkey")
    (row,) = me.get(PASSKEYS).json
    assert row["name"] == "The telephone" and row["used_at"]
    assert sign_in(device, anybody).status_code == 201


def test_what_a_device_is_asked(ana: Caller, anybody: Caller) -> None:
    """It has to keep the passkey, to recognise its person, and makes no second one."""
    device = added(ana)
    asked = ask(ana)["public_key"]
    assert asked["rp"]["id"] == "localhost"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert [c["id"] for c in asked["excludeCredentials"]] == [as_text(device.credential_id)]
    asked = anybody.post(f"{SIGN_IN}/options").json["public_key"]
    assert (asked["rpId"], asked["userVerification"]) == ("localhost", "required")
    assert asked.get("allowCredentials", []) == []


WRONG: dict[str, dict[str, Any]] = {
    "another page's": {"origin": "http://localhost:8001"},
    "another site's": {"rp_id": "evil.example"},
    "without its person": {"flags": VERIFIED},
    "with a person who is not recognised": {"flags": PRESENT},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_of_another_place_or_person_counts_for_nothing(
    ana: Caller, anybody: Caller, conn: Conn, wrong: str
) -> None:
    device = Device(**({"origin": HOME} | WRONG[wrong]))
    assert refused(offer(ana, device), 422)
    assert ana.get(PASSKEYS).json == []
    device = added(ana)
    for name, value in WRONG[wrong].items():
        setattr(device, name, value)
    assert refused(sign_in(device, anybody))
    assert one(conn.execute("select used_at from passkeys"))["used_at"] is None


def test_a_signature_by_another_key_is_refused(ana: Caller, anybody: Caller) -> None:
    device = added(ana)
    device.key = Device(HOME).key
    assert refused(sign_in(device, anybody))


def test_an_answer_counts_once(ana: Caller, anybody: Caller, conn: Conn) -> None:
    device = added(ana)
    answer = answer_with(device, anybody)
    assert anybody.post(SIGN_IN, answer).status_code == 201
    assert refused(anybody.post(SIGN_IN, answer))
    assert ana.post(f"{FACTOR}/passkey", answer).status_code == 422
    sessions = "select count(*) as n from sessions where authenticated_by = 'passkey'"
    assert one(conn.execute(sessions))["n"] == 1
    asked = ask(ana)
    assert offer(ana, Device(HOME), asked).status_code == 201
    assert offer(ana, Device(HOME), asked).status_code == 422
    assert len(ana.get(PASSKEYS).json) == 2


def test_an_answer_comes_back_with_the_request_that_asked(ana: Caller, anybody: Caller) -> None:
    """Not of another one, an old one, or one for another purpose."""
    device = added(ana)
    answer = answer_with(device, anybody)
    other = anybody.post(f"{SIGN_IN}/options").json["request"]
    claims = {"sub": "anyone", "c": "A" * 44, "exp": datetime.now(UTC) - timedelta(seconds=1)}
    for request in (other, ask(ana)["request"], sign(claims, "passkey"), "nonsense"):
        assert refused(anybody.post(SIGN_IN, answer | {"request": request}))
    asked = ask(ana)
    for request in (anybody.post(f"{SIGN_IN}/options").json["request"], ask(ana)["request"]):
        assert refused(offer(ana, Device(HOME), asked | {"request": request}), 422)
    assert anybody.post(SIGN_IN, answer).status_code == 201


def test_an_old_request_is_not_answered(
    ana: Caller, anybody: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = added(ana)
    monkeypatch.setattr("web.support.passkeys.GOOD_FOR", timedelta(seconds=-1))
    assert refused(sign_in(device, anybody))


def test_a_request_of_another_account_adds_nothing(ana: Caller, bob: Caller, conn: Conn) -> None:
    """A stranger who has a person's browser answer would add a passkey of the stranger's."""
    assert refused(offer(ana, Device(HOME), ask(bob)), 422)
    assert ana.get(PASSKEYS).json == bob.get(PASSKEYS).json == []


def test_a_passkey_is_of_one_account(ana: Caller, bob: Caller, anybody: Caller) -> None:
    device = added(ana)
    again = offer(bob, device)
    assert (again.status_code, again.json["conflict_reason"]) == (409, "passkey_exists")
    device.handle = str(bob.id).encode()
    assert refused(sign_in(device, anybody))
    device.handle = str(ana.id).encode()
    assert ana.post(f"{FACTOR}/passkey", answer_with(device, anybody)).status_code == 200
    other = bob.post(f"{FACTOR}/passkey", answer_with(device, anybody))
    assert (other.status_code, other.json["detail"]) == (403, "This passkey is of another account.")


def test_a_count_that_goes_back_is_a_copy(ana: Caller, anybody: Caller) -> None:
    device = added(ana, counts=7)
    for counts, status in ((8, 201), (8, 401), (7, 401), (0, 401), (9, 201)):
        device.counts = counts
        assert sign_in(device, anybody).status_code == status, counts


def test_of_two_answers_that_were_verified_at_once_one_counts(ana: Caller, conn: Conn) -> None:
    """A copy of the key answers while the original does: both say the same count."""
    added(ana, counts=7)
    session = ana.get("/v1/me/session").json["id"]
    row = one(conn.execute("select id, account_id from passkeys"))
    both = [Answered(row["id"], row["account_id"], 0, 7, 8, b"%d" % n) for n in range(2)]
    with transaction() as own:
        passkeys.give_factor(own, both[0], session)
    with pytest.raises(InvalidRequest), transaction() as own:
        passkeys.give_factor(own, both[1], session)


@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature", "userHandle"])
def test_nonsense_is_refused(ana: Caller, anybody: Caller, part: str) -> None:
    answer = answer_with(added(ana), anybody)
    right = answer["credential"]["response"][part]
    nonsense: tuple[Any, ...] = (None, "", "!", "AAAA", 1, {}, "\ud800")
    for value in nonsense:
        answer["credential"]["response"][part] = value
        assert refused(anybody.post(SIGN_IN, answer))
    for credential in ({}, {"id": 1}, answer["credential"] | {"response": []}):
        assert refused(anybody.post(SIGN_IN, answer | {"credential": credential}))
    answer["credential"]["response"][part] = right
    assert anybody.post(SIGN_IN, answer).status_code == 201


def test_a_nonsense_passkey_is_refused(ana: Caller) -> None:
    asked = ask(ana)
    credential = Device(HOME).create(asked["public_key"])
    for value in ("", "AAAA", as_text(b"\xa0"), as_text(b"\x81" * 9000)):
        credential["response"]["attestationObject"] = value
        body = {"request": asked["request"], "credential": credential, "name": "x"}
        assert refused(ana.post(PASSKEYS, body), 422)


def test_an_address_as_host_is_no_place_for_passkeys(
    ana: Caller, anybody: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = answer_with(added(ana), anybody)
    for host in ("127.0.0.1:8000", "[::1]:8000"):
        monkeypatch.setenv("PUBLIC_URL", f"http://{host}")
        settings.cache_clear()
        for tried in (
            ana.post(f"{PASSKEYS}/options"),
            anybody.post(f"{SIGN_IN}/options"),
            anybody.post(SIGN_IN, answer),
        ):
            assert (tried.status_code, tried.json["conflict_reason"]) == (409, "no_host_name")
        assert b"IP address" in anybody.get("/passkeys").data


def test_the_page_runs_no_script_but_its_own(anybody: Caller) -> None:
    page = anybody.get("/passkeys")
    assert page.status_code == 200 and b"<script src=" in page.data
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    script = anybody.get("/pages/passkeys.js")
    assert (script.status_code, script.mimetype) == (200, "text/javascript")


def test_a_browser_signs_in_on_a_page_of_ours_alone(ana: Caller, anybody: Caller) -> None:
    device = added(ana)
    answer = answer_with(device, anybody) | {"carrier": "cookie"}
    for origin in ({}, {"Origin": "https://evil.example"}):
        assert refused(anybody.post(SIGN_IN, answer, headers=origin), 403)
    signed_in = anybody.post(SIGN_IN, answer, headers={"Origin": HOME})
    assert signed_in.status_code == 201
    assert signed_in.headers["Set-Cookie"].startswith("__Host-usher=")
    assert signed_in.json["csrf_token"]


def test_a_stolen_session_adds_none(app: Flask, alice: Caller, conn: Conn) -> None:
    """The session is not young, and the password is asked for."""
    verify(alice, conn)
    assert offer(alice, Device(HOME)).status_code == 403
    young = sign_in_as(app, alice.id)
    assert offer(young, Device(HOME)).status_code == 201
    conn.execute("update sessions set created_at = created_at - interval '10 min'")
    assert offer(young, Device(HOME)).status_code == 403


def test_they_are_named_and_removed_by_their_person_alone(
    ana: Caller, bob: Caller, anybody: Caller
) -> None:
    device = added(ana)
    (row,) = ana.get(PASSKEYS).json
    path = f"{PASSKEYS}/{row['id']}"
    assert bob.get(PASSKEYS).json == []
    assert bob.patch(path, {"name": "mine"}).status_code == bob.delete(path).status_code == 404
    assert ana.patch(path, {"name": "The old one"}).json == row | {"name": "The old one"}
    assert ana.delete(path).status_code == 204
    assert ana.get(PASSKEYS).json == []
    assert refused(sign_in(device, anybody))
    assert ana.delete(path).status_code == 404


def test_twenty_are_enough(ana: Caller, conn: Conn) -> None:
    fill = """
        insert into passkeys (account_id, credential_id, public_key, sign_count, name)
        select %s, n::text::bytea, 'x', 0, 'x' from generate_series(1, 20) n"""
    conn.execute(fill, [ana.id])
    full = offer(ana, Device(HOME))
    assert (full.status_code, full.json["conflict_reason"]) == (409, "too_many_passkeys")


def test_the_last_way_in_is_a_code_by_mail(ana: Caller, anybody: Caller, conn: Conn) -> None:
    """A person whose only passkey is gone still reads the address's mail."""
    added(ana)
    assert ana.call("POST", "/v1/me/password/removal", {}).status_code == 204
    (row,) = ana.get(PASSKEYS).json
    assert ana.delete(f"{PASSKEYS}/{row['id']}").status_code == 204
    assert sign_in_by_mail(anybody.client, conn, "alice@example.org").get("/v1/me").json


def test_a_closed_or_blocked_account_is_not_entered(
    ana: Caller, anybody: Caller, operator: Caller
) -> None:
    device = added(ana)
    blocked = operator.call("PUT", f"/v1/accounts/{ana.id}/block", {"reason": "tests"})
    assert blocked.status_code == 200, blocked.text
    assert refused(sign_in(device, anybody))
    assert operator.call("DELETE", f"/v1/accounts/{ana.id}/block").status_code == 200
    me = Caller(anybody.client, sign_in(device, anybody).json["token"])
    assert me.post("/v1/me/closing", {"understood": True}).status_code == 204
    assert refused(sign_in(device, anybody))


def test_what_was_added_before_the_address_was_proved_ends_with_the_proof(
    alice: Caller, anybody: Caller, conn: Conn
) -> None:
    """Another person may have made the account, and would keep a way in."""
    conn.execute("update accounts set password_hash = null")
    device = added(alice)
    assert sign_in(device, anybody).status_code == 201
    sign_in_by_mail(anybody.client, conn, "alice@example.org")
    assert refused(sign_in(device, anybody))
    assert conn.execute("select from passkeys").fetchall() == []


def test_a_session_that_was_ended_meanwhile_adds_none(ana: Caller, conn: Conn) -> None:
    """Processes know ten seconds later: the row says it at once."""
    session = ana.get("/v1/me/session").json["id"]
    conn.execute("update sessions set ended_at = clock_timestamp()")
    new = NewPasskey(b"id", b"key", 0, "x")
    with pytest.raises(NotSignedIn), transaction() as own:
        passkeys.add_passkey(own, ana.id, session, b"challenge", new)
    assert conn.execute("select from passkeys").fetchall() == []


def test_merging_keeps_the_passkeys_of_the_account_that_stays(
    ana: Caller, bob: Caller, anybody: Caller, conn: Conn
) -> None:
    """A thief would else bring a passkey into an account by merging the thief's own into it."""
    conn.execute("update accounts set password_hash = null")
    own, others = added(ana), added(bob)
    asked = ana.post("/v1/me/merge", {"email": "bob@example.org"}).json
    code = one(conn.execute("select context ->> 'code' as c from emails where template = 'merge'"))
    body = {"request": asked["request"], "code": code["c"]}
    assert ana.post("/v1/me/merge/confirmation", body).status_code == 200
    assert refused(sign_in(others, anybody))
    assert sign_in(own, anybody).status_code == 201
    assert one(conn.execute("select count(*) as n from passkeys"))["n"] == 1


@pytest.fixture
def owner(app: Flask, opera: Caller) -> Caller:
    """Without a second factor in the session, which began a moment ago by a mailed code."""
    return sign_in_staff(app, "owner", opera.id, factor_age=None)


def venues(who: Caller) -> int:
    return int(who.get("/v1/venues").status_code)


def test_a_passkey_is_a_second_factor(
    app: Flask, opera: Caller, owner: Caller, anybody: Caller, conn: Conn
) -> None:
    device = added(owner)
    assert venues(owner) == 403
    given = owner.post(f"{FACTOR}/passkey", answer_with(device, anybody))
    assert given.status_code == 200 and given.json["dangerous_until"]
    assert venues(owner) == 200
    members = owner.get(f"/v1/organisations/{opera.id}/members").json
    assert [m["second_factor"] for m in members if m["account_id"] == owner.id] == [True]
    signed_in = Caller(anybody.client, sign_in(device, anybody).json["token"])
    assert venues(signed_in) == 200
    assert owner.get(FACTOR).json["passkeys"] == 1


def test_a_mailed_code_alone_changes_no_way_to_give_the_factor(
    app: Flask, owner: Caller, anybody: Caller
) -> None:
    """Who reads the mail of a member would else have both factors."""
    device = added(owner)
    thief = sign_in_as(app, owner.id)
    (row,) = thief.get(PASSKEYS).json
    begun = thief.post(FACTOR)
    assert begun.status_code == 201
    for tried in (
        offer(thief, Device(HOME)),
        thief.delete(f"{PASSKEYS}/{row['id']}"),
        thief.post(f"{FACTOR}/confirmation", {"code": "000000"}),
    ):
        assert (tried.status_code, tried.json["conflict_reason"]) == (403, "second_factor_needed")
    assert owner.post(f"{FACTOR}/passkey", answer_with(device, anybody)).status_code == 200
    set_up_factor(owner)
    added(owner)


def test_an_app_guards_the_first_passkey(app: Flask, owner: Caller) -> None:
    set_up_factor(owner)
    thief = sign_in_as(app, owner.id)
    tried = offer(thief, Device(HOME))
    assert (tried.status_code, tried.json["conflict_reason"]) == (403, "second_factor_needed")
    added(owner)


def test_who_removes_a_passkey_gives_the_factor_anew(owner: Caller, anybody: Caller) -> None:
    device = added(owner)
    other = Caller(anybody.client, sign_in(device, anybody).json["token"])
    assert owner.post(f"{FACTOR}/passkey", answer_with(device, anybody)).status_code == 200
    (row,) = owner.get(PASSKEYS).json
    assert owner.delete(f"{PASSKEYS}/{row['id']}").status_code == 204
    assert venues(owner) == venues(other) == 403


def recovery_codes(who: Caller) -> list[str]:
    drawn = who.post(f"{FACTOR}/recovery-codes")
    assert drawn.status_code == 201, drawn.text
    found: list[str] = drawn.json["recovery_codes"]
    return found


def test_a_member_with_passkeys_alone_has_recovery_codes(
    app: Flask, owner: Caller, anybody: Caller
) -> None:
    device = added(owner)
    refused = owner.post(f"{FACTOR}/recovery-codes")
    assert (refused.status_code, refused.json["conflict_reason"]) == (403, "second_factor_needed")
    assert owner.post(f"{FACTOR}/passkey", answer_with(device, anybody)).status_code == 200
    codes = recovery_codes(owner)
    lost = sign_in_as(app, owner.id)
    assert venues(lost) == 403
    for code, status in (("123456", 422), ("no-code", 422), (codes[0], 200), (codes[0], 422)):
        assert lost.post(f"{FACTOR}/check", {"code": code}).status_code == status, code
    assert venues(lost) == 200
    assert owner.get(FACTOR).json == {
        "confirmed_at": None,
        "passkeys": 1,
        "recovery_codes": len(codes) - 1,
        "reset_at": None,
    }
    added(lost)


def test_recovery_codes_for_passkeys_are_guessed_no_faster(owner: Caller, anybody: Caller) -> None:
    device = added(owner)
    assert owner.post(f"{FACTOR}/passkey", answer_with(device, anybody)).status_code == 200
    codes = recovery_codes(owner)
    tried = [owner.post(f"{FACTOR}/check", {"code": f"guess-{n}"}).status_code for n in range(12)]
    assert tried == [422] * 10 + [429] * 2
    assert owner.post(f"{FACTOR}/check", {"code": codes[0]}).status_code == 429


def test_recovery_codes_end_with_the_last_second_factor(owner: Caller, anybody: Caller) -> None:
    """Else who has the old sheet of paper would have the factor that comes later."""
    device = added(owner)
    set_up = owner.post(f"{FACTOR}/passkey", answer_with(device, anybody))
    assert set_up.status_code == 200
    _, codes = set_up_factor(owner)
    assert owner.delete(FACTOR).status_code == 204
    assert owner.get(FACTOR).json["recovery_codes"] == len(codes), "a passkey is left"
    assert owner.post(f"{FACTOR}/check", {"code": codes[0]}).status_code == 200
    (row,) = owner.get(PASSKEYS).json
    assert owner.delete(f"{PASSKEYS}/{row['id']}").status_code == 204
    assert owner.get(FACTOR).json["recovery_codes"] == 0
    assert owner.post(f"{FACTOR}/check", {"code": codes[1]}).status_code == 409
    added(owner)
    assert owner.post(f"{FACTOR}/check", {"code": codes[1]}).status_code == 409
    assert owner.post(f"{FACTOR}/recovery-codes").status_code == 403


def reset(by: Caller, opera: Caller, who: Caller) -> Answer:
    members = by.get(f"/v1/organisations/{opera.id}/members").json
    (id,) = [member["id"] for member in members if member["account_id"] == who.id]
    return by.post(f"/v1/organisations/{opera.id}/members/{id}/second-factor-reset")


def test_lost_passkeys_are_reset_after_the_delay(
    app: Flask, opera: Caller, owner: Caller, anybody: Caller, conn: Conn
) -> None:
    device = added(owner)
    other = sign_in_staff(app, "owner", opera.id, "other")
    assert reset(other, opera, owner).status_code == 202
    assert sign_in(device, anybody).status_code == 201
    assert owner.get(FACTOR).json["reset_at"] is None, "it was not lost"
    assert reset(other, opera, owner).status_code == 202
    conn.execute("update second_factor_resets set due_at = clock_timestamp()")
    assert refused(sign_in(device, anybody))
    again = sign_in_as(app, owner.id)
    added(again)
    assert len(again.get(PASSKEYS).json) == 1


def test_a_handle_is_text_of_the_account(ana: Caller) -> None:
    """It stays the same when SECRET_KEY changes, and tells nothing of the person."""
    assert from_text(ask(ana)["public_key"]["user"]["id"]) == str(ana.id).encode()
