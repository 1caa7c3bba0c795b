"""Organisations: what stands on their documents, and where their buyers may be sent."""

from typing import Any

from marshmallow import fields, validate

from db.accounts import organisations
from db.catalogue import events
from db.connections import Conn, autocommit, transaction
from web.api.events import EventPage, EventSummary
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import (
    Answer,
    Line,
    Name,
    Paragraphs,
    ReturnUrl,
    Schema,
    StrictBoolean,
    StrictInteger,
    unique,
)

blp = Blueprint(
    "organisations",
    __name__,
    url_prefix="/v1/organisations/<id:organisation_id>",
    description="Organisations",
)


class OrganisationFields(Schema):
    """What is to be changed; fields that are left out stay."""

    name = Name(metadata={"description": "also on receipts"})
    address = Paragraphs(
        least=0, most=500, metadata={"description": "postal, in lines, on receipts"}
    )
    vat_id = Line(
        validate=validate.Regexp(
            r"^([A-Za-z0-9][A-Za-z0-9 ./-]{1,39})?$", error="2 to 40 letters and digits."
        ),
        metadata={"description": "on receipts"},
    )
    return_urls = fields.List(
        ReturnUrl(),
        validate=[unique, validate.Length(max=20)],
        metadata={
            "description": "where buyers may be sent after a payment at the bank (return_url of a "
            "payment): these addresses and all below them, as https://shop.example/tickets"
        },
    )

    test_mode = StrictBoolean(
        metadata={
            "description": "events that are added from now on are tests: they are paid with test "
            "keys, mail goes to members alone, and they are in no report, receipt or catalogue. "
            "Events that exist stay what they are"
        },
    )


class Organisation(OrganisationFields, Answer):
    """An organisation and its settings."""

    id = StrictInteger(metadata={"description": "the organisation's id"})
    suspended_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "since when it sells nothing; null: it sells"}
    )
    suspension = fields.String(
        allow_none=True,
        metadata={"description": "why an operator suspended it; null: it sells"},
    )


class Suspension(Schema):
    """Why an organisation is suspended."""

    reason = Line(most=500, required=True, metadata={"description": "the organisation sees it"})


@blp.route("")
@needs("organisation.read")
@blp.response(200, Organisation)
def get_organisation(organisation_id: int) -> dict[str, Any]:
    """Your organisation and its settings."""
    with autocommit() as conn:
        return organisations.get_organisation(conn, caller().scope, organisation_id)


@blp.route("/events")
@needs("events.read")
@blp.paginated(EventSummary, EventPage)
def list_own_events(conn: Conn, page: dict[str, Any], organisation_id: int) -> list[dict[str, Any]]:
    """Your organisation's events, drafts, closed and cancelled ones among them: all, or those that
    are what the query says."""
    return events.list_own_events(conn, caller().scope, organisation_id, page)


@blp.route("", methods=["PATCH"])
@needs("organisation.write")
@blp.arguments(
    OrganisationFields,
    example={
        "address": "Unter den Linden 7\n10117 Berlin",
        "vat_id": "DE 136695976",
        "return_urls": ["https://shop.example/tickets"],
    },
)
@blp.response(200, Organisation)
@blp.conflicts("no_test_account")
def change_organisation(given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Change settings. Receipts that were issued stay as they are."""
    with transaction(caller().name) as conn:
        return organisations.change_organisation(conn, caller().scope, organisation_id, given)


@blp.route("/suspension", methods=["PUT"])
@needs("organisations.suspend")
@blp.arguments(Suspension, example={"reason": "Buyers report events that do not take place"})
@blp.response(200, Organisation)
def suspend_organisation(given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Suspend an organisation: it sells nothing, opens no event and pays nothing out by hand. What
    is under way ends as usual, tickets open the door, and operators can refund and cancel."""
    with transaction(caller().name) as conn:
        return organisations.suspend(conn, organisation_id, given["reason"])


@blp.route("/suspension", methods=["DELETE"])
@needs("organisations.suspend")
@blp.response(200, Organisation)
def lift_suspension(organisation_id: int) -> dict[str, Any]:
    """Lift a suspension: the organisation's sales go on."""
    with transaction(caller().name) as conn:
        return organisations.lift_suspension(conn, organisation_id)
