"""The account of the person who asks: what it is called, how it is entered, where its mail goes."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from db.accounts import accounts, codes
from db.connections import autocommit, transaction
from db.maintenance import merging
from db.runtime.errors import Conflict, InvalidRequest, NotAllowed
from web.api.sign_in import CodeSent
from web.support.auth import buyer, buyer_id, buyers_only, session, take_cookie
from web.support.blueprint import Blueprint
from web.support.fields import Answer, Email, Name, Schema, StrictBoolean, StrictInteger, Text
from web.support.passwords import SIGN_INS, Password, hash_password, is_password
from web.support.rate_limits import (
    check_codes,
    check_guesses,
    note_wrong_code,
    note_wrong_guess,
    spend_code,
)

blp = Blueprint("me", __name__, url_prefix="/v1/me", description="Your account")

LANGUAGE = validate.Regexp("[a-z]{2,3}(-[A-Z]{2})?$", error="Must be like de or pt-BR.")


class Me(Answer):
    """The account of the token."""

    id = StrictInteger(metadata={"description": "the account's id"})
    name = fields.String(metadata={"description": "the buyer's name"})
    email = fields.String(metadata={"description": "where the mails go"})
    language = fields.String(metadata={"description": "of mails, where they have it: de, pt-BR"})
    verified = fields.Boolean(metadata={"description": "whether a mailed code came back"})
    has_password = fields.Boolean(metadata={"description": "whether a password signs in"})


class Changes(Schema):
    """What is to be changed."""

    name = Name(metadata={"description": "the buyer's, as in mails"})
    language = Text(most=6, validate=LANGUAGE, metadata={"description": "like de or pt-BR"})

    @validates_schema
    def check_given(self, given: dict[str, Any], **_: Any) -> None:
        if not given:
            raise ValidationError("Send a name or a language.")


class Proof(Schema):
    """That it is the account's person who asks."""

    current_password = Password(
        metadata={
            "description": "what it was; not needed within ten minutes of a sign-in by a mailed "
            "code or a passkey"
        }
    )


class NewPassword(Proof):
    """A password, and that it is the account's person who sets it."""

    password = Password(required=True, metadata={"description": "the new one"})


class NewAddress(Schema):
    """Another address."""

    email = Email(required=True, metadata={"description": "the new one", "format": "email"})


class CodesSent(Answer):
    """A code is on its way to the old address, and another one to the new."""

    request = fields.String(metadata={"description": "send it with both codes"})


class BothCodes(Schema):
    """That both addresses agree."""

    request = Text(most=100, required=True, metadata={"description": "from the answer before"})
    old_code = Text(most=20, required=True, metadata={"description": "mailed to the old address"})
    new_code = Text(most=20, required=True, metadata={"description": "mailed to the new address"})


class OtherAccount(Schema):
    """Another account of yours."""

    email = Email(required=True, metadata={"description": "the other account's", "format": "email"})


class MergeCode(Schema):
    """That the other account is yours, too."""

    request = Text(most=100, required=True, metadata={"description": "from the answer before"})
    code = Text(most=20, required=True, metadata={"description": "mailed to the other address"})


class Closing(Proof):
    """That the account is to be closed."""

    understood = StrictBoolean(
        required=True,
        validate=validate.Equal(True, error="Send true, if that is what you want."),
        metadata={"description": "true: only an operator can open it again"},
    )


@blp.route("")
@buyers_only
@blp.response(200, Me)
def get_me() -> dict[str, Any]:
    """The account of the token."""
    with autocommit() as conn:
        return accounts.get_account(conn, buyer_id())


@blp.route("", methods=["PATCH"])
@buyers_only
@blp.arguments(Changes, example={"name": "Ana Lima", "language": "pt-BR"})
@blp.response(200, Me)
def change_me(given: dict[str, Any]) -> dict[str, Any]:
    """Change your name or language."""
    with transaction(buyer()) as conn:
        return accounts.change_person(conn, buyer_id(), given.get("name"), given.get("language"))


@blp.route("/password", methods=["PUT"])
@buyers_only
@blp.arguments(
    NewPassword,
    example={"password": "battery staple", "current_password": "correct horse battery"},
)
@blp.response(204)
@blp.conflicts("password_changed")
def set_password(given: dict[str, Any]) -> None:
    """Set or change your password. All of your other sessions end."""
    known = check_proof(given)
    new_hash = hash_password(given["password"])
    with transaction(buyer()) as conn:
        accounts.set_password(conn, buyer_id(), session().id, known, new_hash)


@blp.route("/password/removal", methods=["POST"])
@buyers_only
@blp.arguments(Proof, example={"current_password": "battery staple"})
@blp.response(204)
@blp.conflicts("password_changed")
def remove_password(given: dict[str, Any]) -> None:
    """Have no password any more: mailed codes and passkeys sign in. Your other sessions end."""
    known = check_proof(given)
    with transaction(buyer()) as conn:
        accounts.set_password(conn, buyer_id(), session().id, known, None)


@blp.route("/address-change", methods=["POST"])
@buyers_only
@blp.arguments(NewAddress, example={"email": "ana.lima@example.org"})
@blp.response(202, CodesSent)
def start_address_change(given: dict[str, Any]) -> dict[str, Any]:
    """Ask for another address: both get a code, and both codes change it within ten minutes."""
    spend_code(given["email"])
    with transaction(buyer()) as conn:
        if accounts.get_account(conn, buyer_id())["email"].lower() == given["email"].lower():
            raise InvalidRequest("This is your address.", path="email")
        return {"request": accounts.start_address_change(conn, buyer_id(), given["email"])}


@blp.route("/address-change/confirmation", methods=["POST"])
@buyers_only
@blp.arguments(
    BothCodes,
    example={"request": "q3…", "old_code": "123456", "new_code": "654321"},
)
@blp.response(200, Me)
@blp.conflicts("account_exists", "address_changed")
def confirm_address_change(given: dict[str, Any]) -> dict[str, Any]:
    """Change your address: send the codes that both have got."""
    check_codes()
    tried = {"old_address": given["old_code"], "new_address": given["new_code"]}
    with transaction(buyer()) as conn:
        if codes.try_codes(conn, given["request"], tried) == buyer_id():
            accounts.change_address(conn, buyer_id())
            return accounts.get_account(conn, buyer_id())
    note_wrong_code()
    raise InvalidRequest("One of the codes is wrong or has expired.")


@blp.route("/merge", methods=["POST"])
@buyers_only
@blp.arguments(OtherAccount, example={"email": "ana@example.net"})
@blp.response(202, CodeSent)
def start_merge(given: dict[str, Any]) -> dict[str, Any]:
    """Ask to take over another account of yours. If there is one, it gets a code by mail."""
    spend_code(given["email"])
    with transaction(buyer()) as conn:
        other = accounts.find_account(conn, given["email"])
        other_id = other["id"] if other else None
        secret = codes.mail_or_pretend(conn, other_id, given["email"], "merge")
    return {"sent": True, "request": secret}


@blp.route("/merge/confirmation", methods=["POST"])
@buyers_only
@blp.arguments(MergeCode, example={"request": "q3…", "code": "123456"})
@blp.response(200, Me)
@blp.conflicts(
    "address_not_verified", "cannot_be_merged", "unfinished_bookings", "archived", "over_cap"
)
def merge_accounts(given: dict[str, Any]) -> dict[str, Any]:
    """Take over another account by its code: its bookings, tickets and places in queues that were
    decided are yours, and it is closed. Refused while it has anything under way, or if both have
    more seats of an event than a buyer may have."""
    check_codes()
    with transaction(buyer()) as conn:
        own = accounts.get_account(conn, buyer_id())
        if not own["verified"]:
            raise Conflict(
                "Sign in to this account by a mailed code first.", "address_not_verified"
            )
        other_id = codes.try_codes(conn, given["request"], {"merge": given["code"]})
        if other_id is not None:
            merging.merge_accounts(conn, other_id, buyer_id())
            return own
    note_wrong_code()
    raise InvalidRequest("The code is wrong or has expired.")


@blp.route("/closing", methods=["POST"])
@buyers_only
@blp.arguments(Closing, example={"understood": True, "current_password": "battery staple"})
@blp.response(204)
@blp.conflicts("still_a_member")
def close_account(given: dict[str, Any]) -> None:
    """Close your account: all sessions end, and only an operator can open it again. What you have
    booked stays, with its tickets; to have your data erased, see POST /v1/me/erasure."""
    check_proof(given)
    with transaction(buyer()) as conn:
        accounts.close_account(conn, buyer_id())
    take_cookie()


def check_proof(given: dict[str, Any]) -> str | None:
    """Refuse a session that may have been taken from its person: a password is asked for again, if
    there is one, or a young sign-in by mail; a guest has neither. The hash of the password, if any.

    Errors: NotAllowed.
    """
    with autocommit() as conn:
        known = accounts.get_credentials(conn, buyer_id(), session().id)
    password_hash: str | None = known["password_hash"]
    is_guest = password_hash is None and not known["verified"]
    if known["proved"] or is_guest:
        return password_hash
    tried = given.get("current_password")
    if tried is None or password_hash is None:
        raise NotAllowed("Send the current password, or sign in by a mailed code first.")
    check_guesses(f"account {buyer_id()}")
    if not is_password(tried, password_hash, SIGN_INS):
        note_wrong_guess()
        raise NotAllowed("The current password is wrong.")
    return password_hash
