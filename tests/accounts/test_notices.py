"""A person is told by mail when a way to sign in, or to give a second factor, has changed: a stolen
session changes none unseen."""

from typing import get_args

import pytest
from flask import Flask

from db.accounts.notices import Change
from db.connections import Conn
from db.runtime.settings import settings
from tasks.mail.rendering import environment
from tests.support.authenticators import Device
from tests.support.staff import set_up_factor, sign_in_as, sign_in_by_mail
from tests.support.world import Caller, verify

HOME = "http://localhost:8000"
FACTOR, PASSKEYS = "/v1/me/second-factor", "/v1/me/passkeys"


@pytest.fixture(autouse=True)
def at_a_host_name(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", HOME)
    settings.cache_clear()


@pytest.fixture
def ana(app: Flask, alice: Caller, conn: Conn) -> Caller:
    """alice, who has signed in by a mailed code."""
    verify(alice, conn)
    conn.execute("update accounts set password_hash = null where id = %s", [alice.id])
    return sign_in_as(app, alice.id)


def told(conn: Conn, who: Caller) -> list[str]:
    """What a person was told, in this order, and is on its way."""
    query = """
        select m.context ->> 'change' as change, exists (
            select from outbox o where o.actor = 'send_email' and o.args ->> 'email_id' = m.id::text
        ) as sent
        from emails m where buyer_id = %s and template = 'sign_in_changed' order by m.created_at"""
    rows = conn.execute(query, [who.id]).fetchall()
    assert all(row["sent"] for row in rows)
    return [row["change"] for row in rows]


def passkey_of(who: Caller) -> Device:
    device, asked = Device(HOME), who.post(f"{PASSKEYS}/options").json
    credential = device.create(asked["public_key"])
    body = {"request": asked["request"], "credential": credential, "name": "The telephone"}
    assert who.post(PASSKEYS, body).status_code == 201
    return device


def test_of_a_password(ana: Caller, conn: Conn) -> None:
    first, second = {"password": "battery staple"}, {"password": "correct horse"}
    assert ana.call("PUT", "/v1/me/password", first).status_code == 204
    assert ana.call("PUT", "/v1/me/password", second).status_code == 204
    assert ana.post("/v1/me/password/removal", {}).status_code == 204
    assert ana.post("/v1/me/password/removal", {}).status_code == 204
    assert told(conn, ana) == ["password_set", "password_changed", "password_removed"]


def test_of_a_passkey(ana: Caller, conn: Conn) -> None:
    passkey_of(ana)
    (row,) = ana.get(PASSKEYS).json
    assert ana.delete(f"{PASSKEYS}/{row['id']}").status_code == 204
    assert told(conn, ana) == ["passkey_added", "passkey_removed"]


def test_of_an_app_and_of_recovery_codes(ana: Caller, conn: Conn) -> None:
    _, codes = set_up_factor(ana)
    assert ana.post(f"{FACTOR}/check", {"code": "no-code"}).status_code == 422
    assert ana.post(f"{FACTOR}/check", {"code": codes[0]}).status_code == 200
    assert ana.post(f"{FACTOR}/recovery-codes").status_code == 201
    assert ana.delete(FACTOR).status_code == 204
    assert told(conn, ana) == [
        "app_added",
        "recovery_code_used",
        "recovery_codes_drawn",
        "app_removed",
    ]


def test_of_a_reset_that_is_done(ana: Caller, conn: Conn) -> None:
    set_up_factor(ana)
    conn.execute(
        """insert into second_factor_resets (account_id, requested_by, due_at)
           values (%s, 'tests', clock_timestamp())""",
        [ana.id],
    )
    set_up_factor(ana)
    assert told(conn, ana) == ["app_added", "factors_reset", "app_added"]


def test_not_to_an_address_that_was_never_proven(app: Flask, anybody: Caller, conn: Conn) -> None:
    """A stranger may have made the account, and would have mails sent to another person."""
    made = anybody.post("/v1/accounts", {"email": "ben@example.org", "name": "Buy gold"}).json
    stranger = Caller(app.test_client(), made["token"], made["id"])
    passkey_of(stranger)
    body = {"password": "battery staple"}
    assert stranger.call("PUT", "/v1/me/password", body).status_code == 204
    assert told(conn, stranger) == []
    assert sign_in_by_mail(app.test_client(), conn, "ben@example.org").get(PASSKEYS).json == []


def test_each_change_is_told_in_words(conn: Conn) -> None:
    """All that the code can say of a change has a sentence of its own."""
    template = environment().get_template("sign_in_changed.txt")
    values = {"public_url": HOME}
    subjects = {
        template.render(values, change=change).partition("\n")[0]
        for change in (*get_args(Change), "identity_bound")
    }
    assert len(subjects) == len(get_args(Change)) + 1 and "" not in subjects
