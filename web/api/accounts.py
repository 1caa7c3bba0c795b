"""Accounts of buyers."""

from contextlib import suppress
from typing import Any

from flask import Response
from marshmallow import fields

from db.accounts import accounts, codes
from db.accounts.sessions import open_session
from db.connections import autocommit, transaction
from db.runtime.errors import Conflict, InvalidRequest
from db.runtime.settings import settings
from web.api.sign_in import CARRIED, CodeSent, Tokens, check_carrier, hand_out, tell_sent
from web.support.auth import device
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import CARRIER
from web.support.fields import Answer, Email, Line, Name, OneOf, Schema, StrictInteger
from web.support.passwords import Password, hash_password
from web.support.rate_limits import spend_code

blp = Blueprint("accounts", __name__, url_prefix="/v1", description="Accounts of buyers")


class NewAccount(Schema):
    """An account of a buyer."""

    email = Email(
        required=True, metadata={"description": "tickets and messages go there", "format": "email"}
    )
    name = Name(required=True, metadata={"description": "the buyer's, as in mails"})
    password = Password(
        load_default=None,
        metadata={"description": "left out: a guest's account, entered by mailed codes"},
    )
    carrier = OneOf(CARRIER, metadata=CARRIED)


class AccountWithTokens(Tokens):
    """A new account, signed in."""

    id = StrictInteger(metadata={"description": "the account's id, the buyer_id elsewhere"})


@blp.route("/accounts", methods=["POST"])
@blp.arguments(
    NewAccount,
    example={"email": "ana@example.org", "name": "Ana Lima", "password": "correct horse battery"},
)
@blp.response(201, AccountWithTokens)
@blp.alt_response(
    202,
    schema=CodeSent,
    description="Where sign-up is by mail: a sign-in code is e-mailed",
    success=True,
)
@blp.alt_response(403, "FORBIDDEN")
@blp.conflicts("account_exists")
def add_account(given: dict[str, Any]) -> dict[str, Any] | Response:
    """Make an account and sign in to it. Without a password it is a guest's account."""
    carrier = given.get("carrier", "bearer")
    check_carrier(carrier)
    if settings().sign_up == "by_mail":
        return _sign_up_by_mail(given, carrier)
    password_hash = hash_password(given["password"]) if given["password"] else None
    with transaction() as conn:
        account_id = accounts.add_account(conn, given["email"], given["name"], password_hash)
        opened = open_session(conn, account_id, "sign_up", device(), carrier=carrier)
    return {"id": account_id, **hand_out(opened, carrier)}


def _sign_up_by_mail(given: dict[str, Any], carrier: str) -> Response:
    """Make the account if there is none, and mail a code to its address. The answer is the same for
    all addresses. A password would tell, too: it signs in only where the account is new.
    """
    if given["password"]:
        message = "Accounts are proved by mail here, and have no password."
        raise InvalidRequest(message, path="password")
    spend_code(given["email"])
    with transaction() as conn:  # one, since an answer that waits for a second commit would tell
        account = accounts.find_account(conn, given["email"])
        if account is None:
            with suppress(Conflict), conn.transaction():  # it was closed, or another one was first
                accounts.add_account(conn, given["email"], given["name"], None)
            account = accounts.find_account(conn, given["email"])
        account_id = account["id"] if account else None
        secret = codes.mail_or_pretend(conn, account_id, given["email"], "sign_in")
    return tell_sent(secret, carrier)


class OperatedAccount(Answer):
    """An account as operators see it: when things happened to it, and not whose it is."""

    id = StrictInteger(metadata={"description": "the account's id"})
    created_at = fields.AwareDateTime()
    verified_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when a mailed code came back; null: never"}
    )
    closed_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when its person closed it; null: it is open"}
    )
    blocked_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when an operator blocked it; null: none did"}
    )
    blocked_reason = fields.String(
        allow_none=True, metadata={"description": "why, for operators; null: it is not blocked"}
    )
    erased_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when its data were erased; null: they are not"}
    )


class Block(Schema):
    """Why a person is kept out."""

    reason = Line(most=500, required=True, metadata={"description": "for operators alone"})


@blp.route("/accounts/<id:account_id>")
@needs("accounts.read")
@blp.response(200, OperatedAccount)
def get_account(account_id: int) -> dict[str, Any]:
    """An account's state."""
    with autocommit() as conn:
        return accounts.read_account(conn, account_id)


@blp.route("/accounts/<id:account_id>/block", methods=["PUT"])
@needs("accounts.block")
@blp.arguments(Block, example={"reason": "tried stolen cards"})
@blp.response(200, OperatedAccount)
def block_account(given: dict[str, Any], account_id: int) -> dict[str, Any]:
    """Keep a person out: all sessions end within ten seconds, and none begins."""
    with transaction(caller().name) as conn:
        return accounts.block_account(conn, account_id, given["reason"])


@blp.route("/accounts/<id:account_id>/block", methods=["DELETE"])
@needs("accounts.block")
@blp.response(200, OperatedAccount)
def unblock_account(account_id: int) -> dict[str, Any]:
    """Let a person in again."""
    with transaction(caller().name) as conn:
        return accounts.unblock_account(conn, account_id)


@blp.route("/accounts/<id:account_id>/reopening", methods=["POST"])
@needs("accounts.block")
@blp.response(200, OperatedAccount)
@blp.conflicts("account_open")
def reopen_account(account_id: int) -> dict[str, Any]:
    """Open an account again that its person closed and wants back."""
    with transaction(caller().name) as conn:
        return accounts.reopen_account(conn, account_id)
