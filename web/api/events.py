"""Events: public pages, and changes by organisers."""

from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from db.catalogue import events
from db.connections import Conn, autocommit, transaction
from web.support.auth import caller, caller_if_any, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import (
    METHODS,
    Name,
    Paragraphs,
    Rate,
    Schema,
    StrictBoolean,
    StrictInteger,
    Text,
    Timestamp,
    TimeZone,
    unique,
)
from web.support.pages import Page

blp = Blueprint("events", __name__, url_prefix="/v1/events", description="Events and their prices")


OPENING_SECONDS = 30  # 80,000 seats


MOST = 999_999_999_999
TAX_RATE = {"description": "0.19: of 119, 19 are tax"}
BOOKING_FEE = {
    "description": "for a booking that is not free, beside its tickets' fees; tax included"
}
ACCESSIBLE_RELEASE = {
    "description": "how many seconds before starts_at the places kept for wheelchairs and their "
    "companions are released, and sold to all; null: never"
}


class NewPrice(Schema):
    category = StrictInteger(least=1, most=32767, required=True)
    price = StrictInteger(
        most=MOST,
        required=True,
        metadata={"description": "in the currency's smallest unit, tax included"},
    )
    fee = StrictInteger(
        most=MOST, load_default=0, metadata={"description": "of a ticket, tax included"}
    )
    tax_rate = Rate(load_default=Decimal(0), metadata=TAX_RATE)


class Currency(Text):
    """Three capital letters, as in EUR."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Regexp(r"[A-Z]{3}\Z"), **kwargs)


class EventFields(Schema):
    """The fields that can be changed in a draft; some of them also later."""

    name = Name()
    starts_at = Timestamp()
    on_sale_at = Timestamp()
    off_sale_at = Timestamp()
    time_zone = TimeZone()
    currency = Currency()
    booking_fee = StrictInteger(most=MOST, metadata=BOOKING_FEE)
    booking_fee_tax_rate = Rate(metadata=TAX_RATE)
    seats_per_buyer = StrictInteger(least=1, most=50)
    hold_seconds = StrictInteger(least=5, most=86_400)
    gated = StrictBoolean(metadata={"description": "seats are only sold through the queue"})
    claim_seconds = StrictInteger(least=1, most=3600, metadata={"description": "to take a pass"})
    grace_seconds = StrictInteger(
        least=0, most=86_400, metadata={"description": "to return after a missed pass"}
    )
    pass_seconds = StrictInteger(least=5, most=86_400, metadata={"description": "to use a pass"})
    terms = Paragraphs(least=0, most=20_000)
    accessible_release_seconds = StrictInteger(
        most=365 * 86_400, allow_none=True, metadata=ACCESSIBLE_RELEASE
    )
    payment_methods = fields.List(
        fields.String(validate=validate.OneOf(METHODS)),
        validate=unique,
        metadata={"description": "that the gateway offers; empty: only offline payment"},
    )
    offline_seconds = StrictInteger(
        least=60,
        most=90 * 86_400,
        allow_none=True,
        metadata={
            "description": "seconds to pay at the box office or by transfer; null: not allowed"
        },
    )
    offline_instructions = Paragraphs(
        least=0, most=2000, metadata={"description": "how to pay offline; mailed to the buyer"}
    )
    categories = fields.List(fields.Nested(NewPrice), validate=validate.Length(min=1, max=200))

    @validates_schema
    def check_order(self, given: dict[str, Any], **_: Any) -> None:
        begins, ends = given.get("on_sale_at"), given.get("off_sale_at")
        if begins and ends and begins >= ends:
            raise ValidationError("The sale must end after it begins.", "off_sale_at")


class EventChanges(EventFields):
    plan_version_id = StrictInteger(
        least=1,
        metadata={
            "description": "another version of the venue's plans; prices of categories of the same "
            "name stay, or give `categories`"
        },
    )


class NewPlanVersion(Schema):
    plan_version_id = StrictInteger(least=1, required=True)


class NewEvent(EventFields):
    name = Name(required=True)
    venue_id = StrictInteger(least=1, required=True)
    plan_version_id = StrictInteger(least=1, required=True)
    gateway_account_id = StrictInteger(least=1, load_default=None, allow_none=True)
    starts_at = Timestamp(required=True)
    on_sale_at = Timestamp(required=True)
    off_sale_at = Timestamp(required=True)
    time_zone = TimeZone(
        load_default=None, allow_none=True, metadata={"description": "the venue's, if not given"}
    )
    currency = Currency(required=True)
    booking_fee = StrictInteger(most=MOST, load_default=0, metadata=BOOKING_FEE)
    booking_fee_tax_rate = Rate(load_default=Decimal(0), metadata=TAX_RATE)
    seats_per_buyer = StrictInteger(least=1, most=50, load_default=8)
    hold_seconds = StrictInteger(least=5, most=86_400, load_default=600)
    gated = StrictBoolean(load_default=True)
    claim_seconds = StrictInteger(least=1, most=3600, load_default=60)
    grace_seconds = StrictInteger(least=0, most=86_400, load_default=300)
    pass_seconds = StrictInteger(least=5, most=86_400, load_default=600)
    terms = Paragraphs(least=0, most=20_000, load_default="")
    accessible_release_seconds = StrictInteger(
        most=365 * 86_400, allow_none=True, load_default=None, metadata=ACCESSIBLE_RELEASE
    )
    payment_methods = fields.List(
        fields.String(validate=validate.OneOf(METHODS)),
        validate=unique,
        load_default=lambda: ["card"],
    )
    offline_seconds = StrictInteger(least=60, most=90 * 86_400, load_default=None, allow_none=True)
    offline_instructions = Paragraphs(least=0, most=2000, load_default="")
    categories = fields.List(
        fields.Nested(NewPrice), required=True, validate=validate.Length(min=1, max=200)
    )


class EventVenue(Schema):
    id = StrictInteger()
    name = fields.String()
    city = fields.String()
    time_zone = fields.String()


class EventPrice(Schema):
    category = StrictInteger()
    name = fields.String()
    price = StrictInteger()
    fee = StrictInteger()
    tax_rate = fields.Float()


class EventSummary(Schema):
    id = StrictInteger()
    name = fields.String()
    venue = fields.Nested(EventVenue)
    starts_at = fields.AwareDateTime()
    on_sale_at = fields.AwareDateTime()
    off_sale_at = fields.AwareDateTime()
    time_zone = fields.String()
    state = fields.String()
    currency = fields.String()


STATES = ["draft", "on_sale", "closed", "cancelled"]


class EventPage(Page):
    state = fields.String(
        load_default=None,
        validate=validate.OneOf(STATES),
        metadata={"description": "only events in this state"},
    )


class Event(EventSummary):
    booking_fee = StrictInteger()
    booking_fee_tax_rate = fields.Float()
    seats_per_buyer = StrictInteger()
    hold_seconds = StrictInteger()
    gated = fields.Boolean()
    claim_seconds = StrictInteger()
    grace_seconds = StrictInteger()
    pass_seconds = StrictInteger()
    payment_methods = fields.List(fields.String())
    offline_seconds = StrictInteger(allow_none=True)
    offline_instructions = fields.String()
    accessible_release_seconds = StrictInteger(allow_none=True)
    accessible_released_at = fields.AwareDateTime(allow_none=True)
    plan_version_id = StrictInteger()
    categories = fields.List(fields.Nested(EventPrice))
    terms = fields.String()
    server_time = fields.AwareDateTime()


@blp.route("", methods=["POST"])
@organisations_only
@blp.arguments(NewEvent)
@blp.idempotent(Event, key_required=False)
def add_event(conn: Conn, given: dict[str, Any]) -> dict[str, Any]:
    """Add an event as a draft. Every category of its plan needs a price."""
    prices = given.pop("categories")
    return _get(conn, events.add_event(conn, caller().scope, given, prices))


@blp.route("")
@blp.paginated(EventSummary)
def list_events(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """Events that are on sale or announced."""
    return events.list_events(conn, **page)


@blp.route("/<id:event_id>")
@blp.response(200, Event)
def get_event(event_id: int) -> dict[str, Any]:
    """An event with its prices; a draft is only shown to its organiser."""
    organisation = caller_if_any()
    with autocommit() as conn:
        return events.get_event(
            conn, event_id, organisation.scope if organisation else events.PUBLIC
        )


@blp.route("/<id:event_id>", methods=["PATCH"])
@organisations_only
@blp.arguments(EventChanges)
@blp.response(200, Event)
def change_event(given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Change an event. A draft may be changed in everything; prices are given as a whole. After
    opening, texts change at once; prices, fees, ways to pay and times of holds for later holds;
    `seats_per_buyer` can be raised and `off_sale_at` be later, `on_sale_at` changes until the sale
    begins. Another field is answered by 409 with its path and the reason: of `starts_at` and
    `time_zone` buyers are told (POST …/postponements), `currency` stays."""
    prices = given.pop("categories", None)
    with transaction(caller().name) as conn:
        events.change_event(conn, caller().scope, event_id, given, prices)
        return _get(conn, event_id)


@blp.route("/<id:event_id>", methods=["DELETE"])
@organisations_only
@blp.response(204)
def delete_draft(event_id: int) -> None:
    """Delete a draft; an event that was opened is closed or cancelled instead."""
    with transaction(caller().name) as conn:
        events.delete_draft(conn, caller().scope, event_id)


@blp.route("/<id:event_id>/plan-version", methods=["POST"])
@organisations_only
@blp.arguments(NewPlanVersion)
@blp.response(200, Event)
def move_event(given: dict[str, int], event_id: int) -> dict[str, Any]:
    """Move it to another version of its plan, on sale or not: bookings keep their seats under the
    new labels. Refused if a booked seat is not in that version, or a category lacks its price."""
    with transaction(caller().name, OPENING_SECONDS) as conn:
        events.move_event(conn, caller().scope, event_id, given["plan_version_id"])
        return _get(conn, event_id)


@blp.route("/<id:event_id>/open", methods=["POST"])
@organisations_only
@blp.response(200, Event)
def open_event(event_id: int) -> dict[str, Any]:
    """Put it on sale from on_sale_at on. The first time also makes its seats. A closed event is
    reopened."""
    with transaction(caller().name, OPENING_SECONDS) as conn:
        events.open_sale(conn, caller().scope, event_id)
        return _get(conn, event_id)


@blp.route("/<id:event_id>/close", methods=["POST"])
@organisations_only
@blp.response(200, Event)
def close_event(event_id: int) -> dict[str, Any]:
    """End the sale and its queue; bookings continue."""
    with transaction(caller().name) as conn:
        events.close_sale(conn, caller().scope, event_id)
        return _get(conn, event_id)


def _get(conn: Conn, event_id: int) -> dict[str, Any]:
    return events.get_event(conn, event_id, caller().scope)
