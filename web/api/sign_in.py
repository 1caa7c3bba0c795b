"""Signing in: what gives tokens."""

from typing import Any

from flask import Response, jsonify, request
from marshmallow import ValidationError, fields, validates_schema

from db.accounts import accounts, codes, sessions
from db.accounts.sessions import OpenSession
from db.connections import autocommit, transaction
from db.runtime.errors import NotAllowed, NotSignedIn
from web.support.auth import device, give_cookie
from web.support.blueprint import Blueprint
from web.support.cookies import REQUEST_NAME, csrf_token, has_own_origin, set_request_cookie
from web.support.enumerations import CARRIER
from web.support.fields import Answer, Email, OneOf, Schema, StrictInteger, Text
from web.support.passwords import OTHERS, SIGN_INS, HashLane, Password, is_password
from web.support.rate_limits import (
    check_codes,
    check_guesses,
    note_wrong_code,
    note_wrong_guess,
    spend_code,
)
from web.support.sessions import ACCESS, make_tokens, read_refresh_token, session_of

blp = Blueprint("sign_in", __name__, url_prefix="/v1", description="Signing in")


CARRIED = {"description": "what will have the session; bearer is the default"}


class Credentials(Schema):
    """An e-mail address with a password; the address alone, to get a code; or the code."""

    email = Email(load_default=None, metadata={"description": "the account's", "format": "email"})
    password = Password(load_default=None, metadata={"description": "the account's"})
    code = Text(most=20, load_default=None, metadata={"description": "six digits, from the mail"})
    request = Text(
        most=100, metadata={"description": "from the answer to the request for the code"}
    )
    carrier = OneOf(CARRIER, metadata=CARRIED)

    @validates_schema
    def check_combination(self, given: dict[str, Any], **_: Any) -> None:
        if bool(given.get("code")) == bool(given.get("email")):
            raise ValidationError("Send an e-mail address, with or without a password, or a code.")
        if given.get("code") and given.get("password"):
            raise ValidationError("A code needs no password.")
        if given.get("request") and not given.get("code"):
            raise ValidationError("request comes with a code.")


class Tokens(Answer):
    """The tokens of a new session. A browser gets its token in a cookie, which renews itself."""

    token = fields.String(
        metadata={
            "description": "the bearer token of further requests; not with carrier cookie",
            "optional": True,
        }
    )
    expires_at = fields.AwareDateTime(
        metadata={"description": "an hour from now: get another token before that"}
    )
    refresh_token = fields.String(
        metadata={
            "description": "gives the next tokens, once, within 30 days; not with carrier cookie",
            "optional": True,
        }
    )
    csrf_token = fields.String(
        metadata={
            "description": "what pages send as X-CSRF-Token; with carrier cookie",
            "optional": True,
        }
    )
    session_id = StrictInteger(metadata={"description": "the session's id"})


class RefreshToken(Schema):
    """What the tokens before gave."""

    refresh_token = Text(most=1000, required=True, metadata={"description": "of the latest tokens"})


def check_carrier(carrier: str) -> None:
    """A browser's session begins on a page of ours: another page would sign its visitor in to an
    account that is not theirs. Errors: NotAllowed."""
    if carrier == "cookie" and not has_own_origin(request.environ):
        raise NotAllowed("A session with a cookie begins on a page of this site: see Origin.")


def hand_out(opened: OpenSession, carrier: str) -> dict[str, Any]:
    """Give a session that was opened to who asks for it, as Tokens."""
    if carrier == "bearer":
        return make_tokens(opened)
    give_cookie(opened)
    return {
        "expires_at": opened["used_at"] + ACCESS,
        "session_id": opened["id"],
        "csrf_token": csrf_token(session_of(opened)),
    }


class CodeSent(Answer):
    """A sign-in code is on its way, if there is such an account."""

    sent = fields.Boolean(metadata={"description": "true, whether there is an account or not"})
    request = fields.String(
        metadata={"description": "send it with the code; a browser also has it in a cookie"}
    )


@blp.route("/tokens", methods=["POST"])
@blp.arguments(
    Credentials, example={"email": "ana@example.org", "password": "correct horse battery"}
)
@blp.response(201, Tokens)
@blp.alt_response(
    202,
    schema=CodeSent,
    description="If the account exists, a sign-in code is e-mailed to it",
    success=True,
)
@blp.alt_response(401, "UNAUTHORIZED")
@blp.alt_response(403, "FORBIDDEN")
def add_token(given: dict[str, Any]) -> dict[str, Any] | Response:
    """Sign in with a password, request a code by e-mail, or sign in with that code, within ten
    minutes, where it was asked for. A code is good for five tries and one use, and a mailbox gets
    six an hour. The first one proves who owns the address, so it ends the account's password and
    earlier sessions.
    """
    carrier = given.get("carrier", "bearer")
    check_carrier(carrier)
    if given["code"]:
        secret = given.get("request") or request.cookies.get(REQUEST_NAME, "")
        return hand_out(sign_in_by_code(secret, given["code"], "code", carrier), carrier)
    lane = SIGN_INS
    if given["password"] and not check_guesses(given["email"]):
        lane = OTHERS
    if not given["password"]:
        spend_code(given["email"])
    with autocommit() as conn:
        account = accounts.find_account(conn, given["email"])
    if given["password"]:
        return _check_password(account, given["password"], lane, carrier)
    with transaction() as conn:
        account_id = account["id"] if account else None
        secret = codes.mail_or_pretend(conn, account_id, given["email"], "sign_in")
    return tell_sent(secret, carrier)


def sign_in_by_code(secret: str, code: str, authenticated_by: str, carrier: str) -> OpenSession:
    """Open a session by a mailed code. Errors: NotSignedIn, TooMany."""
    check_codes()
    with transaction() as conn:
        account_id = codes.try_codes(conn, secret, {"sign_in": code})
        if account_id is not None:
            epoch = accounts.verify_account(conn, account_id)
            return sessions.open_session(
                conn, account_id, authenticated_by, device(), epoch=epoch, carrier=carrier
            )
    note_wrong_code()
    raise NotSignedIn("This code is wrong or has expired, or was not asked for here.")


def _check_password(
    account: dict[str, Any] | None, password: str, lane: HashLane, carrier: str
) -> dict[str, Any]:
    known = account["password_hash"] if account else None
    if not is_password(password, known, lane) or account is None:
        note_wrong_guess()
        raise NotSignedIn("E-mail address or password is wrong.")
    with autocommit() as conn:
        opened = sessions.open_session(
            conn,
            account["id"],
            "password",
            device(),
            epoch=account["token_epoch"],
            password_hash=known,
            carrier=carrier,
        )
    return hand_out(opened, carrier)


def tell_sent(secret: str, carrier: str) -> Response:
    """The answer to a request for a code, which is alike whether there is an account."""
    answer = jsonify({"sent": True, "request": secret})
    answer.status_code = 202
    if carrier == "cookie":
        set_request_cookie(answer, secret)
    return answer


@blp.route("/tokens/refresh", methods=["POST"])
@blp.arguments(RefreshToken, example={"refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…"})
@blp.response(201, Tokens)
@blp.alt_response(401, "UNAUTHORIZED")
def refresh_tokens(given: dict[str, Any]) -> dict[str, Any]:
    """Get new tokens for a session. A refresh token is good once: used again within 30 seconds it
    gives the same answer, used later it ends its session, since it was copied.
    """
    session_id, refreshes = read_refresh_token(given["refresh_token"])
    with autocommit() as conn:
        opened = sessions.refresh_session(conn, session_id, refreshes)
    if opened is None:
        raise NotSignedIn("This session has ended: sign in again.")
    return make_tokens(opened)
