"""Accounts: making one, signing in with a password or a code, and whose token it is."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from flask import Flask

from db.connections import Conn
from db.settings import settings
from tests.world import Caller
from web.accounts import hasher

DORA = {"email": "dora@example.org", "name": "Dora", "password": "correct horse"}


def test_it_signs_in_whoever_makes_an_account(anybody: Caller) -> None:
    made = anybody.post("/v1/accounts", DORA)
    assert made.status_code == 201
    me = Caller(anybody.client, made.json["token"]).get("/v1/me")
    assert me.json == {"id": made.json["id"], "name": "Dora", "email": "dora@example.org"}
    lives = datetime.fromisoformat(made.json["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < lives <= timedelta(days=30)


def test_an_address_has_one_account_whatever_its_case(anybody: Caller, conn: Conn) -> None:
    anybody.post("/v1/accounts", DORA)
    again = anybody.post("/v1/accounts", DORA | {"email": "DORA@example.org"})
    assert (again.status_code, again.json["conflict_reason"]) == (409, "account_exists")
    assert len(conn.execute("SELECT FROM accounts").fetchall()) == 1


def test_it_keeps_no_password(anybody: Caller, conn: Conn) -> None:
    anybody.post("/v1/accounts", DORA)
    row = conn.execute("SELECT password_hash FROM accounts").fetchone()
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$")


def test_a_password_signs_in(anybody: Caller) -> None:
    made = anybody.post("/v1/accounts", DORA)
    token = anybody.post("/v1/tokens", {"email": "Dora@Example.org", "password": "correct horse"})
    assert token.status_code == 201
    assert Caller(anybody.client, token.json["token"]).get("/v1/me").json["id"] == made.json["id"]


@pytest.mark.parametrize("email", ["dora@example.org", "alice@example.org", "nobody@example.org"])
def test_a_wrong_password_is_refused_alike_for_all(
    anybody: Caller, alice: Caller, email: str
) -> None:
    anybody.post("/v1/accounts", DORA)
    answer = anybody.post("/v1/tokens", {"email": email, "password": "wrong horse"})
    assert answer.status_code == 401
    assert answer.json["detail"] == "E-mail address or password is wrong."


def test_no_password_signs_in_to_an_account_without_one(
    anybody: Caller, alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the one that is checked in its place, were it known."""
    monkeypatch.setattr("web.accounts.NOBODYS_HASH", hasher.hash("open sesame"))
    for email in ("alice@example.org", "nobody@example.org"):
        answer = anybody.post("/v1/tokens", {"email": email, "password": "open sesame"})
        assert answer.status_code == 401


def test_a_code_from_the_e_mail_signs_in(anybody: Caller, alice: Caller, conn: Conn) -> None:
    asked = anybody.post("/v1/tokens", {"email": "alice@example.org"})
    email = conn.execute("SELECT id, buyer_id, template, context FROM emails").fetchone()
    task = conn.execute("SELECT actor, queue, args FROM outbox").fetchone()
    assert asked.status_code == 202
    assert email is not None
    assert (email["buyer_id"], email["template"]) == (alice.id, "sign_in")
    assert task == {"actor": "send_email", "queue": "mail", "args": {"email_id": str(email["id"])}}
    token = anybody.post("/v1/tokens", {"code": email["context"]["code"]})
    assert token.status_code == 201
    assert Caller(anybody.client, token.json["token"]).get("/v1/me").json["id"] == alice.id


def test_it_does_not_tell_who_has_an_account(anybody: Caller, alice: Caller, conn: Conn) -> None:
    known = anybody.post("/v1/tokens", {"email": "alice@example.org"})
    unknown = anybody.post("/v1/tokens", {"email": "nobody@example.org"})
    assert (known.status_code, known.json) == (unknown.status_code, unknown.json)
    assert len(conn.execute("SELECT FROM emails").fetchall()) == 1


def test_a_code_is_no_token_and_a_token_is_no_code(
    anybody: Caller, alice: Caller, conn: Conn
) -> None:
    anybody.post("/v1/tokens", {"email": "alice@example.org"})
    row = conn.execute("SELECT context ->> 'code' AS code FROM emails").fetchone()
    assert row is not None
    assert Caller(anybody.client, row["code"]).get("/v1/me").status_code == 401
    assert anybody.post("/v1/tokens", {"code": alice.token}).status_code == 401


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({"exp": 1}, None),
        ({"aud": "door"}, None),
        ({"sub": "alice"}, None),
        ({}, "somebody else's key, which is as long as ours"),
    ],
)
def test_it_refuses_tokens_that_are_not_ours(
    app: Flask, anybody: Caller, alice: Caller, changes: dict[str, object], secret: str | None
) -> None:
    claims = {"sub": str(alice.id), "aud": "buyer", "exp": 4_000_000_000} | changes
    token = jwt.encode(claims, secret or settings().secret_key, algorithm="HS256")
    answer = Caller(anybody.client, token).get("/v1/me")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_it_refuses_a_token_without_signature(anybody: Caller, alice: Caller) -> None:
    claims = {"sub": str(alice.id), "aud": "buyer", "exp": 4_000_000_000}
    token = jwt.encode(claims, None, algorithm="none")
    assert Caller(anybody.client, token).get("/v1/me").status_code == 401


def test_buyers_and_sellers_have_doors_of_their_own(alice: Caller, opera: Caller) -> None:
    assert alice.get("/v1/venues").status_code == 403
    assert opera.get("/v1/me").status_code == 403


def test_a_revoked_key_opens_nothing(opera: Caller, conn: Conn) -> None:
    assert opera.get("/v1/venues").status_code == 200
    conn.execute("UPDATE api_keys SET revoked_at = clock_timestamp()")
    assert opera.get("/v1/venues").status_code == 401
