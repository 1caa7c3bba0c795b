"""The second factor: set up by its first code, given again for dangerous acts, reset with delay."""

from typing import Any

import pytest
from flask import Flask

from db.accounts import api_keys
from db.connections import Conn, one
from db.runtime.settings import settings
from tests.support.staff import (
    MEMBER,
    forget_steps,
    set_up_factor,
    sign_in_as,
    sign_in_by_mail,
    sign_in_staff,
)
from tests.support.world import Answer, Caller, Sale

FACTOR = "/v1/me/second-factor"


@pytest.fixture
def owner(app: Flask, opera: Caller) -> Caller:
    """Without a second factor in the session."""
    return sign_in_staff(app, "owner", opera.id, factor_age=None)


def give(who: Caller, code: str) -> Answer:
    return who.post(f"{FACTOR}/check", {"code": code})


def cancel(who: Caller, sale: Sale) -> Answer:
    return who.post(f"{sale.path}/cancel", {"reason": "ill"}, key="cancel")


def test_roles_that_need_it_can_do_nothing_without(
    app: Flask, opera: Caller, owner: Caller
) -> None:
    refused = owner.get("/v1/venues")
    assert (refused.status_code, refused.json["conflict_reason"]) == (403, "second_factor_needed")
    set_up_factor(owner)
    assert owner.get("/v1/venues").status_code == 200
    another = sign_in_as(app, owner.id)
    assert another.get("/v1/venues").status_code == 403
    assert sign_in_staff(app, "door", opera.id, factor_age=None).get("/v1/venues").json == []


def test_dangerous_acts_ask_for_it_again(
    app: Flask, owner: Caller, tosca: Sale, conn: Conn
) -> None:
    code_app, _ = set_up_factor(owner)
    ten_minutes = "update sessions set second_factor_at = second_factor_at - interval '10 min'"
    conn.execute(ten_minutes)
    refused = cancel(owner, tosca)
    assert (refused.status_code, refused.json["conflict_reason"]) == (403, "second_factor_needed")
    assert owner.get("/v1/venues").status_code == 200
    assert give(owner, code_app.code()).status_code == 200
    assert cancel(owner, tosca).status_code == 202


def test_where_buyers_pay_is_dangerous_to_change(
    app: Flask, opera: Caller, tosca: Sale, conn: Conn
) -> None:
    """The bank account of a thief would get the money of all who pay offline."""
    manager = sign_in_staff(app, "manager", opera.id, factor_age=601)
    weak = Caller(app.test_client(), add_key(conn, opera.id))
    body = {"offline_instructions": "IBAN XX00"}
    before = opera.get(tosca.path).json["offline_instructions"]
    for who, reason in ((manager, "second_factor_needed"), (weak, "scope_missing")):
        refused = who.patch(tosca.path, body)
        assert (refused.status_code, refused.json["conflict_reason"]) == (403, reason)
        same = who.patch(tosca.path, {"offline_instructions": before, "name": "Tosca"})
        assert same.status_code == 200, "what stays as it is needs nothing"
    conn.execute("update sessions set second_factor_at = clock_timestamp()")
    assert manager.patch(tosca.path, body).status_code == 200


def test_offering_the_money_of_a_whole_event_back_is_dangerous(
    app: Flask, opera: Caller, tosca: Sale
) -> None:
    manager = sign_in_staff(app, "manager", opera.id, factor_age=601)
    body = {"starts_at": "2040-06-01T20:00:00+02:00", "give_back_until": "2040-05-20T20:00:00Z"}
    refused = manager.post(f"{tosca.path}/postponements", body, key="later")
    assert (refused.status_code, refused.json["conflict_reason"]) == (403, "second_factor_needed")


def add_key(conn: Conn, organisation_id: int) -> str:
    """A server's key without the scope for what is dangerous."""
    return api_keys.add_key(conn, "organiser", "weak", organisation_id)


def test_a_code_counts_once(owner: Caller, conn: Conn) -> None:
    code_app, _ = set_up_factor(owner)
    code = code_app.code()
    assert give(owner, code).status_code == 200
    again = give(owner, code)
    assert (again.status_code, again.json["conflict_reason"]) == (422, "wrong_code")


def test_a_recovery_code_counts_once_and_only_for_its_person(
    app: Flask, opera: Caller, owner: Caller
) -> None:
    _, codes = set_up_factor(owner)
    other = sign_in_staff(app, "finance", opera.id, factor_age=None)
    set_up_factor(other)
    assert give(other, codes[0]).status_code == 422
    assert give(owner, codes[0].upper()).status_code == 200
    assert give(owner, codes[0]).status_code == 422
    assert owner.get(FACTOR).json["recovery_codes"] == len(codes) - 1
    renewed = owner.post(f"{FACTOR}/recovery-codes").json["recovery_codes"]
    assert give(owner, codes[1]).status_code == 422
    assert give(owner, renewed[1]).status_code == 200


@pytest.mark.parametrize(
    "code", ["000000", "12345", "1234567", "nonsense", "\uff16\uff15\uff14\uff13\uff12\uff11", ""]
)
def test_wrong_codes_open_nothing(owner: Caller, conn: Conn, code: str) -> None:
    set_up_factor(owner)
    conn.execute("update sessions set second_factor_at = null")
    forget_steps(conn, owner.id)
    assert give(owner, code).status_code == 422
    assert owner.get("/v1/venues").status_code == 403


def test_guessing_ends_soon(owner: Caller, conn: Conn) -> None:
    code_app, _ = set_up_factor(owner)
    statuses = [give(owner, "000000").status_code for _ in range(12)]
    assert statuses == [422] * 10 + [429] * 2
    assert give(owner, code_app.code()).status_code == 429
    conn.execute("update second_factors set tried_at = tried_at - interval '15 min'")
    assert give(owner, code_app.code()).status_code == 200


def test_only_hashes_and_sealed_seeds_are_stored(owner: Caller, conn: Conn) -> None:
    code_app, codes = set_up_factor(owner)
    for table in ("second_factors", "recovery_codes", "sealed_secrets", "audit_log", "emails"):
        rows = str(conn.execute(f"select t::text from {table} t").fetchall())
        assert code_app.seed not in rows
        assert not any(code in rows for code in codes)


def test_a_factor_is_not_replaced_by_a_stolen_session(owner: Caller, conn: Conn) -> None:
    code_app, codes = set_up_factor(owner)
    conn.execute("update sessions set second_factor_at = null")
    for refused in (
        owner.post(FACTOR),
        owner.post(f"{FACTOR}/confirmation", {"code": code_app.code()}),
    ):
        assert refused.json["conflict_reason"] == "second_factor_exists"
    for refused in (owner.delete(FACTOR), owner.post(f"{FACTOR}/recovery-codes")):
        assert refused.json["conflict_reason"] == "second_factor_needed"
    assert give(owner, codes[0]).status_code == 200
    assert owner.delete(FACTOR).status_code == 204
    set_up_factor(owner)


def reset(by: Caller, opera: Caller, who: Caller) -> Answer:
    members = by.get(f"/v1/organisations/{opera.id}/members").json
    (id,) = [member["id"] for member in members if member["account_id"] == who.id]
    return by.post(f"/v1/organisations/{opera.id}/members/{id}/second-factor-reset")


def test_a_lost_factor_is_reset_after_a_delay_that_its_owner_hears_of(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    set_up_factor(owner)
    other = sign_in_staff(app, "owner", opera.id, "other")
    asked = reset(other, opera, owner)
    assert asked.status_code == 202
    assert owner.get(FACTOR).json["reset_at"] == asked.json["due_at"]
    mail = one(
        conn.execute("select buyer_id, template from emails order by created_at desc limit 1")
    )
    assert mail == {"buyer_id": owner.id, "template": "factor_reset"}
    assert reset(other, opera, owner).json["conflict_reason"] == "reset_requested"
    assert owner.post(FACTOR).json["conflict_reason"] == "second_factor_exists"
    conn.execute("update second_factor_resets set due_at = clock_timestamp()")
    lost = sign_in_as(app, owner.id)
    set_up_factor(lost)
    assert lost.get("/v1/venues").status_code == 200


def test_a_factor_whose_reset_is_due_is_not_given_any_more(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    """Who found the lost device would else stop the reset after its delay, or work on meanwhile."""
    code_app, codes = set_up_factor(owner)
    other = sign_in_staff(app, "owner", opera.id, "other")
    assert reset(other, opera, owner).status_code == 202
    conn.execute("update second_factor_resets set due_at = clock_timestamp()")
    for code in (code_app.code(), codes[0]):
        refused = give(owner, code)
        assert (refused.status_code, refused.json["conflict_reason"]) == (409, "no_second_factor")
    for refused in (
        owner.get("/v1/venues"),
        owner.delete(FACTOR),
        owner.post(f"{FACTOR}/recovery-codes"),
    ):
        assert refused.json["conflict_reason"] == "second_factor_needed"
    shown = owner.get(FACTOR).json
    assert (shown["confirmed_at"], shown["recovery_codes"]) == (None, 0)
    set_up_factor(owner)
    assert owner.get("/v1/venues").status_code == 200
    assert give(owner, codes[1]).status_code == 422, "recovery codes of before"


def test_giving_the_factor_stops_its_reset(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    code_app, _ = set_up_factor(owner)
    other = sign_in_staff(app, "owner", opera.id, "other")
    assert reset(other, opera, owner).status_code == 202
    assert give(owner, code_app.code()).status_code == 200
    conn.execute("update second_factor_resets set due_at = clock_timestamp()")
    assert owner.post(FACTOR).json["conflict_reason"] == "second_factor_exists"
    assert owner.get(FACTOR).json["reset_at"] is None


def test_who_works_elsewhere_too_is_reset_by_an_operator(
    app: Flask, opera: Caller, circus: Caller, owner: Caller, operator: Caller, conn: Conn
) -> None:
    set_up_factor(owner)
    conn.execute(MEMBER, [owner.id, circus.id, "owner"])
    other = sign_in_staff(app, "owner", opera.id, "other")
    assert reset(other, opera, owner).json["conflict_reason"] == "other_memberships"
    assert reset(operator, opera, owner).status_code == 202


def test_without_encryption_keys_none_is_set_up_factor(
    owner: Caller, monkeypatch: pytest.MonkeyPatch, conn: Conn
) -> None:
    monkeypatch.delenv("ENCRYPTION_KEYS")
    settings.cache_clear()
    refused: Any = owner.post(FACTOR)
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "no_encryption_keys")
    assert one(conn.execute("select count(*) as n from second_factors"))["n"] == 0


def test_who_removes_the_factor_needs_another_one_in_all_sessions(
    app: Flask, owner: Caller
) -> None:
    code_app, _ = set_up_factor(owner)
    other = sign_in_as(app, owner.id)
    assert give(other, code_app.code()).status_code == 200
    assert owner.delete(FACTOR).status_code == 204
    for session in (owner, other):
        refused = session.get("/v1/venues")
        assert refused.json["conflict_reason"] == "second_factor_needed"
    set_up_factor(owner)
    assert owner.get("/v1/venues").status_code == 200
    assert other.get("/v1/venues").status_code == 403


def test_a_session_from_before_a_reset_needs_the_new_factor(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    """The reset is for who has lost the device: who found it is still signed in there."""
    set_up_factor(owner)
    other = sign_in_staff(app, "owner", opera.id, "other")
    assert reset(other, opera, owner).status_code == 202
    conn.execute("update second_factor_resets set due_at = clock_timestamp()")
    set_up_factor(sign_in_as(app, owner.id))
    assert owner.get("/v1/venues").json["conflict_reason"] == "second_factor_needed"


def test_the_factor_of_who_made_the_account_for_another_ends_with_the_proof(
    app: Flask, anybody: Caller, conn: Conn
) -> None:
    """Else a stranger would hold the second factor of roles into which the owner is invited."""
    body = {"email": "ben@example.org", "name": "Ben"}
    set_up_factor(Caller(app.test_client(), anybody.post("/v1/accounts", body).json["token"]))
    ben = sign_in_by_mail(app.test_client(), conn, "ben@example.org")
    assert ben.get(FACTOR).json["confirmed_at"] is None
    assert conn.execute("select from sealed_secrets").fetchall() == []
    set_up_factor(ben)
    again = sign_in_by_mail(app.test_client(), conn, "ben@example.org")
    assert again.get(FACTOR).json["confirmed_at"] is not None


def test_a_seed_that_was_moved_between_rows_is_a_fault_of_ours(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    """It does not open, and the answer tells nothing of keys and places."""
    finance = sign_in_staff(app, "finance", opera.id, factor_age=None)
    code_apps = [set_up_factor(who)[0] for who in (owner, finance)]
    conn.execute(
        "update sealed_secrets s set sealed = o.sealed from sealed_secrets o"
        " where o.owner <> s.owner"
    )
    for who in (owner, finance):
        for code_app in code_apps:
            answer = give(who, code_app.code())
            assert answer.status_code == 500
            assert not {"purpose", "owner", "key_id"} & {*answer.json}
