"""Passkeys: a person adds, names and removes them, signs in by one, and gives the second factor."""

from datetime import datetime, timedelta
from typing import Any

from marshmallow import fields

from db.accounts import accounts, passkeys, second_factors
from db.accounts.memberships import FRESH
from db.connections import autocommit, transaction
from db.runtime.errors import InvalidRequest, NotAllowed, NotSignedIn
from web.api.me import Proof, check_proof
from web.api.second_factors import Given, session_id
from web.api.sign_in import CARRIED, Tokens, check_carrier, hand_out
from web.support.auth import buyer, buyer_id, buyers_only, device
from web.support.blueprint import Blueprint
from web.support.enumerations import CARRIER
from web.support.fields import Answer, Name, OneOf, Schema, StrictInteger, Text
from web.support.passkeys import describe_new, describe_sign_in, read_answer, read_new

blp = Blueprint("passkeys", __name__, url_prefix="/v1", description="Passkeys")

EXAMPLE = {
    "request": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…",
    "credential": {"id": "mN3S…", "rawId": "mN3S…", "type": "public-key", "response": {}},
}


class Passkey(Answer):
    """A passkey of yours."""

    id = StrictInteger(metadata={"description": "the passkey's id"})
    name = fields.String(metadata={"description": "as you call it"})
    created_at = fields.AwareDateTime(metadata={"description": "when it was added"})
    used_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was last used; null: never"}
    )


class PasskeyOptions(Answer):
    """What a browser asks a device."""

    request = fields.String(metadata={"description": "send it with the answer, in five minutes"})
    public_key = fields.Dict(
        metadata={
            "description": "for PublicKeyCredential.parseCreationOptionsFromJSON() or "
            "parseRequestOptionsFromJSON()"
        }
    )


def of_answer(about: str) -> dict[str, Any]:
    return {"description": f"what {about} has given, as its toJSON() tells it"}


REQUESTED = {"description": "from the answer before, good once"}


class PasskeyAnswer(Schema):
    """What a passkey has answered."""

    request = Text(most=1000, required=True, metadata=REQUESTED)
    credential = fields.Dict(required=True, metadata=of_answer("navigator.credentials.get()"))


class PasskeySignIn(PasskeyAnswer):
    """What a passkey has answered, and what will have the session."""

    carrier = OneOf(CARRIER, metadata=CARRIED)


class NewPasskey(Proof):
    """A passkey that a device has made."""

    request = Text(most=1000, required=True, metadata=REQUESTED)
    credential = fields.Dict(required=True, metadata=of_answer("navigator.credentials.create()"))
    name = Name(required=True, metadata={"description": "as you will recognise it"})


class PasskeyName(Schema):
    """What a passkey is called."""

    name = Name(required=True, metadata={"description": "as you will recognise it"})


@blp.route("/me/passkeys")
@buyers_only
@blp.response(200, Passkey(many=True))
def list_passkeys() -> list[dict[str, Any]]:
    """Your passkeys, the oldest first; 20 at most."""
    with autocommit() as conn:
        return passkeys.list_passkeys(conn, buyer_id())


@blp.route("/me/passkeys/options", methods=["POST"])
@buyers_only
@blp.response(200, PasskeyOptions)
@blp.conflicts("no_host_name")
def ask_new_passkey() -> dict[str, Any]:
    """Ask what a new passkey is made from. It works in pages of this site alone."""
    with transaction(buyer()) as conn:
        second_factors.forget_reset(conn, buyer_id())
        account = accounts.get_account(conn, buyer_id())
        known = passkeys.list_passkeys(conn, buyer_id())
    return describe_new(account, known)


@blp.route("/me/passkeys", methods=["POST"])
@buyers_only
@blp.arguments(NewPasskey, example=EXAMPLE | {"name": "The telephone"})
@blp.response(201, Passkey)
@blp.conflicts("no_host_name", "passkey_exists", "too_many_passkeys")
def add_passkey(given: dict[str, Any]) -> dict[str, Any]:
    """Add a passkey: it signs in alone, and counts as a second factor, since its device asks for a
    finger or a code. Who has a second factor has given it within ten minutes."""
    of_session = session_id()
    check_proof(given)
    challenge, new = read_new(buyer_id(), given)
    with transaction(buyer()) as conn:
        second_factors.check_change(conn, buyer_id(), of_session, FRESH)
        return passkeys.add_passkey(conn, buyer_id(), of_session, challenge, new)


@blp.route("/me/passkeys/<id:passkey_id>", methods=["PATCH"])
@buyers_only
@blp.arguments(PasskeyName, example={"name": "The old telephone"})
@blp.response(200, Passkey)
def name_passkey(given: dict[str, Any], passkey_id: int) -> dict[str, Any]:
    """Give one of your passkeys a name."""
    with autocommit() as conn:
        return passkeys.name_passkey(conn, buyer_id(), passkey_id, given["name"])


@blp.route("/me/passkeys/<id:passkey_id>", methods=["DELETE"])
@buyers_only
@blp.response(204)
def remove_passkey(passkey_id: int) -> None:
    """Remove a passkey, also the last one: mailed codes still sign in. Who has a second factor, or
    works for an organisation, has given it within ten minutes, and gives one anew after this."""
    of_session = session_id()
    with transaction(buyer()) as conn:
        passkeys.lock_passkey(conn, buyer_id(), of_session, passkey_id)
        second_factors.check_change(conn, buyer_id(), of_session, FRESH)
        passkeys.remove_passkey(conn, buyer_id(), passkey_id)


@blp.route("/tokens/passkey/options", methods=["POST"])
@blp.response(200, PasskeyOptions)
@blp.conflicts("no_host_name")
def ask_sign_in() -> dict[str, Any]:
    """Ask what a passkey has to answer, to sign in or as a second factor. No address is needed: the
    device knows whose passkey it has."""
    return describe_sign_in()


@blp.route("/tokens/passkey", methods=["POST"])
@blp.arguments(PasskeySignIn, example=EXAMPLE)
@blp.response(201, Tokens)
@blp.alt_response(401, "UNAUTHORIZED")
@blp.alt_response(403, "FORBIDDEN")
@blp.conflicts("no_host_name")
def sign_in_by_passkey(given: dict[str, Any]) -> dict[str, Any]:
    """Sign in by a passkey. The second factor is given by that."""
    carrier = given.get("carrier", "bearer")
    check_carrier(carrier)
    try:
        answered = read_answer(given)
        with transaction() as conn:
            opened = passkeys.open_session(conn, answered, device(), carrier)
    except InvalidRequest as error:
        raise NotSignedIn(str(error)) from error
    return hand_out(opened, carrier)


@blp.route("/me/second-factor/passkey", methods=["POST"])
@buyers_only
@blp.arguments(PasskeyAnswer, example=EXAMPLE)
@blp.response(200, Given)
@blp.conflicts("no_host_name")
def give_passkey(given: dict[str, Any]) -> dict[str, datetime]:
    """Give the second factor by a passkey: roles that need one are open in this session, and
    dangerous acts for ten minutes. A reset that was asked for is off."""
    of_session = session_id()
    answered = read_answer(given)
    if answered.account_id != buyer_id():
        raise NotAllowed("This passkey is of another account.")
    with transaction(buyer()) as conn:
        at = passkeys.give_factor(conn, answered, of_session)
    return {"dangerous_until": at + timedelta(seconds=FRESH)}
