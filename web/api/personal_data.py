"""Personal data: a person's own, as a document and to be erased; and the same for operators."""

from typing import Any

from marshmallow import fields, validate

from db.connections import Conn, autocommit, transaction
from db.maintenance import personal_data
from db.runtime.errors import NotFound, NotSignedIn
from web.api.me import Proof, check_proof
from web.support.auth import buyer, buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import ERASURE_REASON, ERASURE_STATE, EXPORT_STATE
from web.support.fields import (
    Answer,
    OneOf,
    QueryInteger,
    Schema,
    StrictBoolean,
    StrictInteger,
    Text,
)

blp = Blueprint("personal_data", __name__, url_prefix="/v1", description="Personal data")

SECONDS = 60
"""For one statement: to erase a person who may have thousands of bookings."""
UUID = "[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"
PLACE = validate.Regexp(
    f"((bookings|other_mails):{UUID}|acts:[0-9]{{1,18}})$", error="Must be `next` of a document."
)
OF_ACCOUNT = "/accounts/<id:account_id>"


class ExportQuery(Schema):
    """Where the document begins."""

    starting_after = Text(
        validate=PLACE,
        load_default=None,
        metadata={"description": "`next` of the document before"},
    )


class ErasureDecision(Schema):
    """That the data are to be erased."""

    understood = StrictBoolean(
        required=True,
        validate=validate.Equal(True, error="Send true, if that is what you want."),
        metadata={"description": "true: account, tickets and bookings cannot be had back"},
    )


class OwnErasureDecision(ErasureDecision, Proof):
    """That your own data are to be erased."""


def rows(about: str) -> Any:
    return fields.List(fields.Dict(), metadata={"description": about})


class Export(Answer):
    """What is kept about a person. Rows are as the database has them. How the person signs in is in
    the first document; of bookings, mails and acts each has 500 at most."""

    account = fields.Dict(metadata={"description": "when it was made, proved, closed"})
    person = fields.Dict(metadata={"description": "address, name and language"})
    sessions = rows("sign-ins of the last months")
    passkeys = rows("keys that devices have")
    second_factor = fields.Dict(
        allow_none=True, metadata={"description": "app and recovery codes; null: there are none"}
    )
    memberships = rows("organisations for which the person works, or has")
    identities = rows("what identity providers of organisations call the person")
    invitations = rows("into organisations")
    bookings = rows(
        "by their ids, each with its items, tickets, payments, refunds, mails and place in the "
        "queue"
    )
    other_addresses = rows(
        "to which organisers sent mails of these bookings, and names that they corrected"
    )
    receipts = rows("documents about the bookings")
    other_mails = rows("mails about no booking")
    acts = rows("what organisers and operators did about you")
    next = fields.String(
        allow_none=True,
        metadata={"description": "starting_after of the next document; null: this is the last"},
    )


class WrittenExport(Answer):
    """An export that a task writes."""

    state = OneOf(EXPORT_STATE)
    parts = StrictInteger(metadata={"description": "how many are written"})
    requested_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when; null: it was not"}
    )
    ready_at = fields.AwareDateTime(
        attribute="finished_at",
        allow_none=True,
        metadata={"description": "when the last part was written; null: it is not"},
    )
    expires_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it is deleted; null: it is not ready"}
    )
    links = fields.List(fields.String(), metadata={"description": "of the parts, once it is ready"})


class PartQuery(Schema):
    """Which part."""

    part = QueryInteger(
        least=1, most=10**6, load_default=1, metadata={"description": "counted from 1"}
    )


class Erasure(Answer):
    """Whether personal data are erased."""

    account_id = StrictInteger(metadata={"description": "whose"})
    state = OneOf(ERASURE_STATE)
    because = fields.List(
        OneOf(ERASURE_REASON), metadata={"description": "why it waits; empty: it does not"}
    )
    requested_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when; null: it was not"}
    )
    checked_at = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "when it was last tried, which is every ten minutes; null: never"},
    )
    erased_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was done; null: it is not"}
    )


@blp.route("/me/personal-data")
@buyers_only
@blp.arguments(ExportQuery, location="query")
@blp.response(200, Export)
def export_own_data(query: dict[str, Any]) -> dict[str, Any]:
    """What is kept about you, as a document. If it has a `next`, there is more than fits: ask for
    the next one, or have all of it written by a task (POST …/export)."""
    try:
        with transaction(buyer()) as conn:
            return personal_data.export_account(conn, buyer_id(), **query)
    except NotFound as error:  # processes know ten seconds later that its sessions have ended
        raise NotSignedIn("This account was closed.") from error


EXPORT = "/me/personal-data/export"


@blp.route(EXPORT, methods=["POST"])
@buyers_only
@blp.response(202, WrittenExport)
def request_own_export() -> dict[str, Any]:
    """Have all that is kept about you written by a task; a mail with a link tells when it is ready,
    for seven days. Asked again within a day, it is the same one."""
    with transaction(buyer()) as conn:
        return _tell_export(personal_data.request_export(conn, buyer_id()))


@blp.route(EXPORT)
@buyers_only
@blp.response(200, WrittenExport)
def get_own_export() -> dict[str, Any]:
    """The export that you asked for, and the links of its parts."""
    with autocommit() as conn:
        return _tell_export(personal_data.get_export(conn, buyer_id()))


@blp.route(f"{EXPORT}/document")
@buyers_only
@blp.arguments(PartQuery, location="query")
@blp.response(200, Export)
@blp.conflicts("export_not_ready")
def get_own_export_part(query: dict[str, int]) -> dict[str, Any]:
    """A part of the export that you asked for."""
    with transaction(buyer()) as conn:
        return personal_data.get_export_part(conn, buyer_id(), query["part"])


def _tell_export(found: dict[str, Any]) -> dict[str, Any]:
    ready = range(1, found["parts"] + 1) if found["state"] == "ready" else ()
    return found | {"links": [f"/v1{EXPORT}/document?part={part}" for part in ready]}


@blp.route("/me/erasure", methods=["POST"])
@buyers_only
@blp.arguments(
    OwnErasureDecision, example={"understood": True, "current_password": "correct horse battery"}
)
@blp.response(202, Erasure)
def erase_own_data(given: dict[str, Any]) -> dict[str, Any]:
    """Close your account and erase your data: at once, or as soon as nothing is under way. Bookings
    stay as figures. As closing it, this asks for the password again, or a young sign-in by mail."""
    check_proof(given)
    with transaction(buyer(), SECONDS) as conn:
        return _erase(conn, buyer_id())


@blp.route("/me/erasure")
@buyers_only
@blp.response(200, Erasure)
def get_own_erasure() -> dict[str, Any]:
    """The erasure that you asked for, while it waits."""
    with autocommit() as conn:
        return {"account_id": buyer_id()} | personal_data.get_erasure(conn, buyer_id())


@blp.route("/me/erasure", methods=["DELETE"])
@buyers_only
@blp.response(204)
@blp.conflicts("already_erased")
def withdraw_own_erasure() -> None:
    """Take back an erasure that waits."""
    with transaction(buyer()) as conn:
        personal_data.withdraw_erasure(conn, buyer_id())


@blp.route(f"{OF_ACCOUNT}/personal-data")
@needs("personal_data.read")
@blp.arguments(ExportQuery, location="query")
@blp.response(200, Export)
def export_account(query: dict[str, Any], account_id: int) -> dict[str, Any]:
    """What is kept about a person, as a document for that person."""
    with transaction(caller().name) as conn:
        return personal_data.export_account(conn, account_id, **query)


@blp.route(f"{OF_ACCOUNT}/erasure", methods=["POST"])
@needs("personal_data.erase")
@blp.arguments(ErasureDecision, example={"understood": True})
@blp.response(202, Erasure)
def erase_account(given: dict[str, Any], account_id: int) -> dict[str, Any]:
    """Close a person's account and erase the data: at once, or as soon as nothing is under way."""
    with transaction(caller().name, SECONDS) as conn:
        return _erase(conn, account_id)


@blp.route(f"{OF_ACCOUNT}/erasure")
@needs("personal_data.read")
@blp.response(200, Erasure)
def get_erasure(account_id: int) -> dict[str, Any]:
    """The erasure of a person's data."""
    with autocommit() as conn:
        return {"account_id": account_id} | personal_data.get_erasure(conn, account_id)


@blp.route("/erasures")
@needs("personal_data.read")
@blp.paginated(Erasure)
def list_erasures(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """Erasures that wait, by account, and why."""
    return personal_data.list_erasures(conn, **page)


def _erase(conn: Conn, account_id: int) -> dict[str, Any]:
    return {"account_id": account_id} | personal_data.request_erasure(conn, account_id)
