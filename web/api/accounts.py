"""Accounts, and signing in."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from flask import Response, jsonify
from marshmallow import ValidationError, fields, validate, validates_schema

from db.accounts import accounts
from db.connections import autocommit, transaction
from db.runtime.errors import Busy, Conflict, InvalidRequest, NotSignedIn
from db.runtime.settings import settings
from web.support.auth import buyer_id, buyers_only, make_code, make_token, read_code
from web.support.blueprint import Blueprint
from web.support.client_address import client
from web.support.fields import Answer, Email, Name, Schema, StrictInteger, Text
from web.support.rate_limits import check_guesses, note_wrong_guess

blp = Blueprint("accounts", __name__, url_prefix="/v1", description="Accounts and signing in")

hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""What OWASP asks for at least: a quarter of the library's default, so that a flood of wrong
passwords takes a quarter of the time."""
UNKNOWN_HASH = hasher.hash(secrets.token_bytes())
"""A hash that is checked when an account has no password, so that the answer takes as long."""


@dataclass(frozen=True)
class HashLane:
    """Passwords that are hashed one at a time: each takes some hundredths of a second and 19 MiB.
    Of the process's threads so many may wait for it, or make one: the others do other work."""

    places: BoundedSemaphore
    hashing: Lock = field(default_factory=Lock)


SIGN_INS = HashLane(BoundedSemaphore(3))
OTHERS = HashLane(BoundedSemaphore(2))
"""New accounts, and sign-ins from addresses that have sent wrong passwords: a flood of these, from
however many addresses, leaves the other lane to those who sign in."""
FROM_AN_ADDRESS = 2
"""So many of one address may wait or hash, one of them hashes: it cannot take all places."""
PATIENCE = 3.0  # seconds


@dataclass
class Visitors:
    """Those of one address who wait for a hash, or make one."""

    places: int = 0
    hashing: Lock = field(default_factory=Lock)


visitors: dict[str, Visitors] = {}
counting = Lock()


@contextmanager
def hashing(address: str, lane: HashLane) -> Iterator[None]:
    """Wait until a password may be hashed. Errors: Busy."""
    give_up_at = monotonic() + PATIENCE
    with taking_place(address, lane) as own, ExitStack() as taken:
        for wanted in (own, lane.hashing):
            if not wanted.acquire(timeout=max(give_up_at - monotonic(), 0)):
                raise Busy("Too many are signing in: try again shortly.")
            taken.callback(wanted.release)
        yield


@contextmanager
def taking_place(address: str, lane: HashLane) -> Iterator[Lock]:
    """Take one of the lane's few places; yields the lock of the address. Errors: Busy."""
    with counting:
        own = visitors.setdefault(address, Visitors())
        if own.places >= FROM_AN_ADDRESS or not lane.places.acquire(blocking=False):
            raise Busy("Too many are signing in: try again shortly.")
        own.places += 1
    try:
        yield own.hashing
    finally:
        with counting:
            own.places -= 1
            if not own.places:
                del visitors[address]
        lane.places.release()


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("Must not contain lone surrogates.") from None


class Password(fields.String):
    """A password; unlike other text it is not trimmed."""

    def __init__(self, **kwargs: Any) -> None:
        length = validate.Length(8, 200, error="Must have 8 to 200 characters.")
        super().__init__(validate=[length, _check_text], **kwargs)


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


class Credentials(Schema):
    """An e-mail address with a password; the address alone, to get a code; or a code."""

    email = Email(load_default=None, metadata={"description": "the account's", "format": "email"})
    password = Password(load_default=None, metadata={"description": "the account's"})
    code = Text(most=1000, load_default=None, metadata={"description": "from the mail"})

    @validates_schema
    def check_combination(self, given: dict[str, Any], **_: Any) -> None:
        if bool(given.get("code")) == bool(given.get("email")):
            raise ValidationError("Send an e-mail address, with or without a password, or a code.")
        if given.get("code") and given.get("password"):
            raise ValidationError("A code needs no password.")


class Token(Answer):
    """A buyer's token."""

    token = fields.String(metadata={"description": "the bearer token of further requests"})
    expires_at = fields.AwareDateTime(metadata={"description": "sign in again before that"})


class AccountWithToken(Token):
    """A new account, signed in."""

    id = StrictInteger(metadata={"description": "the account's id, the buyer_id elsewhere"})


class CodeSent(Answer):
    """A sign-in code is on its way, if there is such an account."""

    sent = fields.Boolean(metadata={"description": "true, whether there is an account or not"})


class Me(Answer):
    """The account of the token."""

    id = StrictInteger(metadata={"description": "the account's id"})
    name = fields.String(metadata={"description": "the buyer's name"})
    email = fields.String(metadata={"description": "where the mails go"})


@blp.route("/accounts", methods=["POST"])
@blp.arguments(
    NewAccount,
    example={"email": "ana@example.org", "name": "Ana Lima", "password": "correct horse battery"},
)
@blp.response(201, AccountWithToken)
@blp.alt_response(
    202,
    schema=CodeSent,
    description="Where sign-up is by mail: a sign-in code is e-mailed",
    success=True,
)
@blp.conflicts("account_exists")
def add_account(given: dict[str, Any]) -> dict[str, Any] | Response:
    """Make an account and sign in to it. Without a password it is a guest's account."""
    if settings().sign_up == "by_mail":
        return _sign_up_by_mail(given)
    password_hash = None
    if given["password"]:
        with hashing(client(), OTHERS):
            password_hash = hasher.hash(given["password"])
    with transaction() as conn:
        account_id = accounts.add_account(conn, given["email"], given["name"], password_hash)
    return {"id": account_id, **make_token(account_id)}


def _sign_up_by_mail(given: dict[str, Any]) -> Response:
    """Make the account if there is none, and mail a code to its address. The answer is the same for
    all addresses. A password would tell, too: it signs in only where the account is new.
    """
    if given["password"]:
        message = "Accounts are proved by mail here, and have no password."
        raise InvalidRequest(message, path="password")
    with autocommit() as conn:
        account = accounts.find_account(conn, given["email"])
        if account is None:
            with suppress(Conflict):  # a closed account, or another request was first
                accounts.add_account(conn, given["email"], given["name"], None)
            account = accounts.find_account(conn, given["email"])
    return _send_code(account)


@blp.route("/tokens", methods=["POST"])
@blp.arguments(
    Credentials, example={"email": "ana@example.org", "password": "correct horse battery"}
)
@blp.response(201, Token)
@blp.alt_response(
    202,
    schema=CodeSent,
    description="If the account exists, a sign-in code is e-mailed to it",
    success=True,
)
@blp.alt_response(401, "UNAUTHORIZED")
def add_token(given: dict[str, Any]) -> dict[str, Any] | Response:
    """Sign in with a password, request a code by e-mail, or sign in with that code. A code is good
    for one use. The first code proves who owns the address, so it ends the account's password and
    earlier tokens.
    """
    if given["code"]:
        return _use_code(given["code"])
    lane = SIGN_INS
    if given["password"] and not check_guesses(given["email"]):
        lane = OTHERS
    with autocommit() as conn:
        account = accounts.find_account(conn, given["email"])
    if given["password"]:
        return _check_password(account, given["password"], lane)
    return _send_code(account)


def _use_code(code: str) -> dict[str, Any]:
    (account_id, codes_used), expires_at = read_code(code)
    with autocommit() as conn:
        epoch = accounts.use_code(conn, account_id, codes_used, expires_at)
    if epoch is None:
        raise NotSignedIn("This code was already used or has expired: request another.")
    return make_token(account_id, epoch)


def _check_password(
    account: dict[str, Any] | None, password: str, lane: HashLane
) -> dict[str, Any]:
    known = account["password_hash"] if account else None
    try:
        with hashing(client(), lane):
            hasher.verify(known or UNKNOWN_HASH, password)
    except (Argon2Error, InvalidHashError):
        known = None
    if account is None or known is None:
        note_wrong_guess()
        raise NotSignedIn("E-mail address or password is wrong.")
    return make_token(account["id"], account["token_epoch"])


def _send_code(account: dict[str, Any] | None) -> Response:
    if account:
        code = make_code(account["id"], account["codes_used"], account["now"])
        with transaction() as conn:
            accounts.send_sign_in_code(conn, account["id"], code)
    answer = jsonify({"sent": True})
    answer.status_code = 202
    return answer


@blp.route("/me")
@buyers_only
@blp.response(200, Me)
def get_me() -> dict[str, Any]:
    """The account of the token."""
    with autocommit() as conn:
        return accounts.get_account(conn, buyer_id())
