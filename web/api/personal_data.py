"""Personal data: a person's own, as a document and to be erased; and the same for operators."""

from typing import Any

from marshmallow import fields, validate

from db.connections import Conn, autocommit, transaction
from db.maintenance import personal_data
from web.api.me import Proof, check_proof
from web.support.auth import buyer, buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import ERASURE_REASON, ERASURE_STATE
from web.support.fields import Answer, OneOf, Schema, StrictBoolean, StrictInteger

blp = Blueprint("personal_data", __name__, url_prefix="/v1", description="Personal data")

SECONDS = 60
"""For one statement: a person may have thousands of bookings."""
OF_ACCOUNT = "/accounts/<id:account_id>"


class ExportQuery(Schema):
    """Where the document begins."""

    starting_after = fields.UUID(
        load_default=None, metadata={"description": "`next` of the document before"}
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


class Export(Answer):
    """What is kept about a person. Rows are as the database has them."""

    account = fields.Dict(metadata={"description": "when it was made, proved, closed"})
    person = fields.Dict(metadata={"description": "address, name and language"})
    bookings = fields.List(
        fields.Dict(),
        metadata={
            "description": "up to 500 bookings by their ids, each with its items, tickets, "
            "payments, refunds, mails and place in the queue"
        },
    )
    other_addresses = fields.List(
        fields.Dict(), metadata={"description": "to which organisers sent mails of these bookings"}
    )
    receipts = fields.List(fields.Dict(), metadata={"description": "documents about the bookings"})
    other_mails = fields.List(fields.Dict(), metadata={"description": "mails about no booking"})
    acts = fields.List(
        fields.Dict(),
        metadata={"description": "what organisers and operators did about you"},
    )
    next = fields.UUID(
        allow_none=True,
        metadata={"description": "starting_after of the next document; null: this is the last"},
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
    """What is kept about you, as a document."""
    with transaction(buyer(), SECONDS) as conn:
        return personal_data.export_account(conn, buyer_id(), **query)


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
    with transaction(caller().name, SECONDS) as conn:
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
