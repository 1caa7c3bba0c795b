"""The second factor of the person who asks: an app that makes codes. Passkeys are another one:
web/api/passkeys.py."""

from datetime import datetime, timedelta
from typing import Any

from marshmallow import fields

from db.accounts import accounts, second_factors
from db.accounts.memberships import FRESH
from db.connections import autocommit, transaction
from db.runtime.errors import NotAllowed
from web.support.auth import own_sessions_only, session
from web.support.blueprint import Blueprint
from web.support.fields import Answer, Schema, StrictInteger, Text

blp = Blueprint(
    "second_factors",
    __name__,
    url_prefix="/v1/me/second-factor",
    description="Your second factor",
)


class SecondFactor(Answer):
    """Your second factor."""

    confirmed_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "since when the app is in use; null: it is not"}
    )
    passkeys = StrictInteger(metadata={"description": "how many there are: each is one, too"})
    recovery_codes = StrictInteger(metadata={"description": "how many are left"})
    reset_at = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "when it will be reset, unless you give it; null: it will not"},
    )


class Seed(Answer):
    """What an app makes codes from."""

    seed = fields.String(metadata={"description": "in base 32; it is not shown again"})
    uri = fields.String(metadata={"description": "the same as otpauth://…, for a QR code"})


class FactorCode(Schema):
    """A code."""

    code = Text(
        most=50,
        required=True,
        metadata={"description": "six digits of the app, or a recovery code"},
    )


class RecoveryCodes(Answer):
    """Codes for the day on which the app or the passkey is lost."""

    recovery_codes = fields.List(
        fields.String(), metadata={"description": "each good once; they are not shown again"}
    )


class Given(Answer):
    """The second factor was given."""

    dangerous_until = fields.AwareDateTime(
        metadata={"description": "until when this session may do what is dangerous"}
    )


def session_id() -> int:
    """The session's id. Errors: NotAllowed."""
    found = session().id
    if found is None:
        raise NotAllowed("Sign in again: this token is of no session.")
    return int(found)


@blp.route("")
@own_sessions_only
@blp.response(200, SecondFactor)
def get_second_factor() -> dict[str, Any]:
    """Whether you have a second factor."""
    with autocommit() as conn:
        return second_factors.get_factor(conn, session().account_id)


@blp.route("", methods=["POST"])
@own_sessions_only
@blp.response(201, Seed)
@blp.conflicts("no_encryption_keys", "second_factor_exists")
def begin_second_factor() -> dict[str, str]:
    """Set up an app that makes codes; its first code confirms it. Asked again before that, there
    is a new seed."""
    account_id = session().account_id
    with transaction(f"staff:{account_id}") as conn:
        name = accounts.get_account(conn, account_id)["email"]
        return second_factors.begin_factor(conn, account_id, name)


@blp.route("/confirmation", methods=["POST"])
@own_sessions_only
@blp.arguments(FactorCode, example={"code": "492039"})
@blp.response(201, RecoveryCodes)
@blp.conflicts("no_second_factor", "second_factor_exists")
def confirm_second_factor(given: dict[str, str]) -> dict[str, list[str]]:
    """Begin to use the app, by its first code. Who works for an organisation and has a passkey has
    given it within ten minutes."""
    account_id, of_session = session().account_id, session_id()
    _count_try(account_id)
    with transaction(f"staff:{account_id}") as conn:
        code = given["code"]
        codes = second_factors.confirm_factor(conn, account_id, of_session, code, FRESH)
    return {"recovery_codes": codes}


@blp.route("/check", methods=["POST"])
@own_sessions_only
@blp.arguments(FactorCode, example={"code": "492039"})
@blp.response(200, Given)
@blp.conflicts("no_second_factor")
def give_second_factor(given: dict[str, str]) -> dict[str, datetime]:
    """Give the second factor: roles that need one are open in this session, and dangerous acts for
    ten minutes. A reset that was asked for is off, unless it is due: then set another one up."""
    account_id, of_session = session().account_id, session_id()
    _count_try(account_id)
    with transaction(f"staff:{account_id}") as conn:
        at = second_factors.give_factor(conn, account_id, of_session, given["code"])
    return {"dangerous_until": at + timedelta(seconds=FRESH)}


@blp.route("/recovery-codes", methods=["POST"])
@own_sessions_only
@blp.response(201, RecoveryCodes)
@blp.conflicts("no_second_factor")
def renew_recovery_codes() -> dict[str, list[str]]:
    """Draw recovery codes, for an app or for passkeys, in place of those before; the second factor
    was given within ten minutes."""
    account_id, of_session = session().account_id, session_id()
    with transaction(f"staff:{account_id}") as conn:
        second_factors.check_confirmed(conn, account_id, of_session, FRESH)
        return {"recovery_codes": second_factors.draw_recovery_codes(conn, account_id)}


@blp.route("", methods=["DELETE"])
@own_sessions_only
@blp.response(204)
@blp.conflicts("no_second_factor")
def remove_second_factor() -> None:
    """Remove the app, to set up another one; the second factor was given within ten minutes.
    Recovery codes stay while you have a passkey."""
    account_id, of_session = session().account_id, session_id()
    with transaction(f"staff:{account_id}") as conn:
        second_factors.check_confirmed(conn, account_id, of_session, FRESH)
        second_factors.remove_factor(conn, account_id)


def _count_try(account_id: int) -> None:
    """Count the code before it is checked, whatever becomes of this request. Errors: Conflict
    no_second_factor; TooManyTries."""
    with autocommit() as conn:
        second_factors.count_try(conn, account_id)
