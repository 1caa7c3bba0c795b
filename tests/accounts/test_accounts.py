"""Accounts: making one, signing in with a password or a code, and whose token it is."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import get_args

import jwt
import pytest
from flask import Flask

from db.connections import Conn, one
from db.runtime.errors import Busy
from db.runtime.settings import settings
from tests.support.waiting import wait_until
from tests.support.world import Caller
from web.app import create_app
from web.support.ended_tokens import EndedTokens
from web.support.passwords import (
    OTHERS,
    SIGN_INS,
    HashLane,
    hasher,
    hashing,
    taking_place,
    visitors,
)
from web.support.signing import Purpose, key_for

DORA = {"email": "dora@example.org", "name": "Dora", "password": "correct horse"}


def test_it_signs_in_whoever_makes_an_account(anybody: Caller) -> None:
    made = anybody.post("/v1/accounts", DORA)
    assert made.status_code == 201
    me = Caller(anybody.client, made.json["token"]).get("/v1/me").json
    whose = {"id": made.json["id"], "name": "Dora", "email": "dora@example.org"}
    assert me == whose | {"language": "en", "verified": False, "has_password": True}
    lives = datetime.fromisoformat(made.json["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < lives <= timedelta(hours=1)


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
    monkeypatch.setattr("web.support.passwords.UNKNOWN_HASH", hasher.hash("open sesame"))
    for email in ("alice@example.org", "nobody@example.org"):
        answer = anybody.post("/v1/tokens", {"email": email, "password": "open sesame"})
        assert answer.status_code == 401


def ask_for_code(anybody: Caller, conn: Conn, email: str) -> dict[str, str]:
    """What signs in: the code from the mail, with the secret of who asked."""
    asked = anybody.post("/v1/tokens", {"email": email})
    query = "SELECT context ->> 'code' AS code FROM emails ORDER BY created_at DESC LIMIT 1"
    return {"code": one(conn.execute(query))["code"], "request": asked.json["request"]}


@pytest.mark.parametrize("lane", [SIGN_INS, OTHERS])
def test_passwords_do_not_take_the_whole_process(
    anybody: Caller, monkeypatch: pytest.MonkeyPatch, lane: HashLane
) -> None:
    """Those who wait have few places, and an address has two of them."""
    assert anybody.post("/v1/accounts", DORA).status_code == 201
    monkeypatch.setattr("web.support.passwords.PATIENCE", 0.01)
    eve = {"email": "eve@example.org", "password": DORA["password"], "name": "Eve"}
    own = {"email": DORA["email"], "password": DORA["password"]}
    with hashing("192.0.2.1", lane):
        in_lane = ("/v1/tokens", own) if lane is SIGN_INS else ("/v1/accounts", eve)
        answer = anybody.post(*in_lane)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        guest = {"email": "guest@example.org", "name": "Guest"}
        assert anybody.post("/v1/accounts", guest).status_code == 201
        in_the_other = ("/v1/accounts", eve) if lane is SIGN_INS else ("/v1/tokens", own)
        assert anybody.post(*in_the_other).status_code == 201
    assert anybody.post(*in_lane).status_code == 201


@pytest.mark.faults("wrong passwords")
def test_one_address_does_not_take_all_places(
    anybody: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.support.passwords.PATIENCE", 0.01)
    with taking_place("192.0.2.1", SIGN_INS), taking_place("192.0.2.1", OTHERS):
        for lane in (SIGN_INS, OTHERS):
            with pytest.raises(Busy), hashing("192.0.2.1", lane):
                pass
            with hashing("192.0.2.2", lane):
                pass
    assert visitors == {}


@pytest.mark.faults("wrong passwords")
def test_two_who_sign_in_at_once_behind_one_address_both_get_in(configured: dict[str, str]) -> None:
    def wait_for_the_hash() -> str:
        with hashing("192.0.2.1", SIGN_INS):
            return "in"

    with ThreadPoolExecutor(1) as other:
        with hashing("192.0.2.1", SIGN_INS):
            second = other.submit(wait_for_the_hash)
            wait_until(lambda: visitors["192.0.2.1"].places == 2)
            assert not second.done()
        assert second.result(timeout=5) == "in"


@pytest.mark.faults("SECRET_KEY")
def test_a_changed_secret_key_is_believed_as_long_as_it_is_kept(
    anybody: Caller, alice: Caller, monkeypatch: pytest.MonkeyPatch, configured: dict[str, str]
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a new key for tests that is long enough, too")
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", configured["SECRET_KEY"])
    settings.cache_clear()
    assert alice.get("/v1/me").status_code == 200, "its tokens are still in use"
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", "")
    settings.cache_clear()
    assert alice.get("/v1/me").status_code == 401


@pytest.mark.faults("SECRET_KEY")
def test_each_purpose_has_a_key_of_its_own(configured: dict[str, str]) -> None:
    purposes = get_args(Purpose)
    assert len({key_for(purpose) for purpose in purposes}) == len(purposes) > 1


@pytest.fixture
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads for each request which tokens were ended."""
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


@pytest.mark.usefixtures("impatient")
def test_who_made_an_account_for_anothers_address_loses_it(anybody: Caller, conn: Conn) -> None:
    """To who reads its mail. The password ends, and every token that there was."""
    made = anybody.post("/v1/accounts", DORA).json
    signed_in = anybody.post("/v1/tokens", {"email": DORA["email"], "password": DORA["password"]})
    code = ask_for_code(anybody, conn, DORA["email"])
    before = [Caller(anybody.client, token) for token in (made["token"], signed_in.json["token"])]
    assert [caller.get("/v1/me").status_code for caller in before] == [200, 200]
    token = anybody.post("/v1/tokens", code).json["token"]
    assert Caller(anybody.client, token).get("/v1/me").json["id"] == made["id"]
    assert [caller.get("/v1/me").status_code for caller in before] == [401, 401]
    again = anybody.post("/v1/tokens", {"email": DORA["email"], "password": DORA["password"]})
    assert again.status_code == 401
    row = one(conn.execute("SELECT password_hash, verified_at FROM accounts"))
    assert row["password_hash"] is None
    assert row["verified_at"] is not None


@pytest.mark.usefixtures("impatient")
def test_only_the_first_code_ends_tokens(anybody: Caller, conn: Conn, alice: Caller) -> None:
    """Later ones are of the same person, perhaps on another device."""
    tokens = []
    for _ in range(2):
        code = ask_for_code(anybody, conn, "alice@example.org")
        tokens.append(anybody.post("/v1/tokens", code).json["token"])
    assert [Caller(anybody.client, t).get("/v1/me").status_code for t in tokens] == [200, 200]
    assert alice.get("/v1/me").status_code == 401


def test_a_process_that_begins_knows_which_tokens_were_ended(
    anybody: Caller, bob: Caller, conn: Conn, alice: Caller
) -> None:
    anybody.post("/v1/tokens", ask_for_code(anybody, conn, "alice@example.org"))
    for caller, status in ((alice, 401), (bob, 200)):
        assert Caller(create_app().test_client(), caller.token).get("/v1/me").status_code == status


def test_it_reads_what_came_since() -> None:
    now = datetime.now(UTC)
    first = EndedTokens().after([{"id": 1, "token_epoch": 1, "tokens_ended_at": now}])
    assert first.since is not None
    assert first.since < now, "what was committed late would be missed"
    later = now + timedelta(hours=1)
    second = first.after(
        [
            {"id": 1, "token_epoch": 1, "tokens_ended_at": now},
            {"id": 2, "token_epoch": 3, "tokens_ended_at": later},
        ]
    )
    assert second.least == {1: 1, 2: 3}
    assert second.since is not None
    assert now < second.since < later
    assert second.after([]) is second


def test_it_does_not_tell_who_has_an_account(anybody: Caller, alice: Caller, conn: Conn) -> None:
    known = anybody.post("/v1/tokens", {"email": "alice@example.org"})
    unknown = anybody.post("/v1/tokens", {"email": "nobody@example.org"})
    assert known.status_code == unknown.status_code == 202
    for answer in (known, unknown):
        assert answer.json.keys() == {"sent", "request"}
        assert len(answer.json["request"]) == 43
    assert len(conn.execute("SELECT FROM emails").fetchall()) == 1


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({"exp": 1}, None),
        ({"aud": "door"}, None),
        ({"sub": "alice"}, None),
        ({"sub": "0"}, None),
        ({"sub": str(2**63)}, None),
        ({"n": "one"}, None),
        ({"n": None}, None),
        ({}, "somebody else's key, which is as long as ours"),
    ],
)
def test_it_refuses_tokens_that_are_not_ours(
    app: Flask, anybody: Caller, alice: Caller, changes: dict[str, object], secret: str | None
) -> None:
    claims = {"sub": str(alice.id), "aud": "buyer", "exp": 4_000_000_000} | changes
    token = jwt.encode(claims, secret or key_for("buyer"), algorithm="HS256")
    answer = Caller(anybody.client, token).get("/v1/me")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_it_refuses_a_token_without_signature(anybody: Caller, alice: Caller) -> None:
    claims = {"sub": str(alice.id), "aud": "buyer", "exp": 4_000_000_000}
    token = jwt.encode(claims, "", algorithm="none")
    assert Caller(anybody.client, token).get("/v1/me").status_code == 401


def test_buyers_and_sellers_have_doors_of_their_own(alice: Caller, opera: Caller) -> None:
    assert alice.get("/v1/venues").status_code == 403
    assert opera.get("/v1/me").status_code == 403


def test_a_revoked_key_opens_nothing(opera: Caller, conn: Conn) -> None:
    assert opera.get("/v1/venues").status_code == 200
    conn.execute("UPDATE api_keys SET revoked_at = clock_timestamp()")
    assert opera.get("/v1/venues").status_code == 401


@pytest.fixture
def by_mail(monkeypatch: pytest.MonkeyPatch, configured: dict[str, str]) -> None:
    """Sign-up is by mail."""
    monkeypatch.setenv("SIGN_UP", "by_mail")
    settings.cache_clear()


@pytest.mark.faults("registering tells which addresses are known")
@pytest.mark.usefixtures("by_mail")
def test_signing_up_does_not_tell_who_has_an_account(anybody: Caller, conn: Conn) -> None:
    """A mail says the rest, and its code signs in, whether the account is new or not."""
    ids, answers = [], []
    for name in ("Dora", "Mallory"):
        asked = anybody.post("/v1/accounts", {"email": DORA["email"], "name": name})
        row = one(
            conn.execute("SELECT context ->> 'code' AS code FROM emails ORDER BY id DESC LIMIT 1")
        )
        code = {"code": row["code"], "request": asked.json["request"]}
        token = anybody.post("/v1/tokens", code).json["token"]
        me = Caller(anybody.client, token).get("/v1/me").json
        ids.append((me["id"], me["name"]))
        answers.append((asked.status_code, asked.json["sent"]))
    assert answers == [(202, True)] * 2
    assert ids[0] == ids[1]
    assert ids[0][1] == "Dora"


@pytest.mark.usefixtures("by_mail")
def test_a_password_would_tell_who_has_an_account(anybody: Caller, conn: Conn) -> None:
    """It would sign in where the account is new, and nowhere else."""
    answer = anybody.post("/v1/accounts", DORA)
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "password")
    assert conn.execute("SELECT FROM accounts").fetchall() == []


@pytest.mark.usefixtures("by_mail")
def test_a_closed_account_is_not_told_of_either(anybody: Caller, conn: Conn) -> None:
    guest = {"email": "guest@example.org", "name": "Guest"}
    anybody.post("/v1/accounts", guest)
    conn.execute("UPDATE accounts SET closed_at = clock_timestamp()")
    again = anybody.post("/v1/accounts", guest)
    assert (again.status_code, again.json["sent"]) == (202, True)
    assert len(conn.execute("SELECT FROM emails").fetchall()) == 1


@pytest.mark.faults("401 text")
@pytest.mark.parametrize("path", ["/v1/venues", "/v1/receipts", "/v1/dead-letters"])
def test_an_organisers_endpoint_asks_for_a_key_and_not_for_a_buyers_token(
    anybody: Caller, alice: Caller, path: str
) -> None:
    """A token of POST /v1/tokens would get 403."""
    answer = anybody.get(path)
    assert answer.status_code == 401
    assert "API key" in answer.json["detail"]
    assert "/v1/tokens" not in answer.json["detail"]
    assert alice.get(path).status_code == 403
    buyers = anybody.get("/v1/me")
    assert (buyers.status_code, "/v1/tokens" in buyers.json["detail"]) == (401, True)
