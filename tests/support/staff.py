"""People who work for an organisation, signed in, and the app that makes their codes."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pyotp
from flask import Flask
from flask.testing import FlaskClient

from db.accounts import accounts, sessions
from db.connections import Conn, one, transaction
from tests.support.world import Caller
from web.support.sessions import make_tokens

FACTOR = """
    update sessions set second_factor_at = clock_timestamp() - %s * interval '1 s' where id = %s"""
MEMBER = """
    insert into memberships (account_id, organisation_id, role) values (%s, %s, %s)
    on conflict do nothing"""


def sign_in_staff(
    app: Flask,
    role: str,
    organisation_id: int | None,
    name: str | None = None,
    *,
    factor_age: float | None = 0,
) -> Caller:
    """A member with a session; `id` is the account's. factor_age: how many seconds ago the second
    factor was given in it; None: it was not."""
    with transaction() as conn:
        email = f"{name or role}.{organisation_id or 0}@example.org"
        account_id = accounts.find_or_add(conn, email, (name or role).capitalize())
        conn.execute(MEMBER, [account_id, organisation_id, role])
    return sign_in_as(app, account_id, factor_age=factor_age)


def sign_in_as(app: Flask, account_id: int, *, factor_age: float | None = None) -> Caller:
    """Another session of an account."""
    with transaction() as conn:
        epochs = conn.execute("select token_epoch from accounts where id = %s", [account_id])
        epoch = next(row["token_epoch"] for row in epochs)
        opened = sessions.open_session(conn, account_id, "code", "tests", epoch=epoch)
        if factor_age is not None:
            conn.execute(FACTOR, [factor_age, opened["id"]])
    return Caller(app.test_client(), make_tokens(opened)["token"], account_id)


@dataclass
class CodeApp:
    """An app that makes codes from a seed. A code counts once: each is of the next step."""

    seed: str
    steps: int = 0

    def code(self) -> str:
        """A code that was not used yet: of a step before, then now, then the next one."""
        totp = pyotp.TOTP(self.seed)
        now = int(totp.timecode(datetime.now(UTC)))
        self.steps += 1
        return totp.generate_otp(now + self.steps - 2)


def sign_in_by_mail(client: FlaskClient, conn: Conn, email: str) -> Caller:
    """Ask for a code by mail, and sign in with it."""
    asked = Caller(client).post("/v1/tokens", {"email": email})
    assert asked.status_code == 202, asked.text
    body = {"code": mailed(conn, "sign_in")["code"], "request": asked.json["request"]}
    signed_in = Caller(client).post("/v1/tokens", body)
    assert signed_in.status_code == 201, signed_in.text
    return Caller(client, signed_in.json["token"])


def mailed(conn: Conn, template: str) -> dict[str, str]:
    """What the latest mail of a template says."""
    query = "select context from emails where template = %s order by created_at desc limit 1"
    found: dict[str, str] = one(conn.execute(query, [template]))["context"]
    return found


def set_up_factor(who: Caller) -> tuple[CodeApp, list[str]]:
    """Set up an app; it, and the recovery codes."""
    begun = who.post("/v1/me/second-factor")
    assert begun.status_code == 201, begun.text
    app = CodeApp(begun.json["seed"])
    confirmed = who.post("/v1/me/second-factor/confirmation", {"code": app.code()})
    assert confirmed.status_code == 201, confirmed.text
    return app, confirmed.json["recovery_codes"]


def forget_steps(conn: Conn, account_id: int) -> None:
    """As if the person's codes were of long ago, so that a test need not wait for the next step."""
    conn.execute("update second_factors set last_step = 0 where account_id = %s", [account_id])
