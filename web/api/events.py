"""Events: public pages, and changes by organisers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

from flask import Flask, Response, current_app, g, request
from marshmallow import ValidationError, fields, validate, validates_schema

from db.catalogue import events
from db.connections import Conn, autocommit, transaction
from web.support.blueprint import Blueprint
from web.support.callers import caller, caller_if_any, needs
from web.support.dumping import compile_dump, to_json
from web.support.enumerations import EVENT_STATE, METHOD
from web.support.fields import (
    Answer,
    Line,
    Name,
    OneOf,
    Paragraphs,
    QueryInteger,
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
from web.support.snapshots import Snapshots

blp = Blueprint("events", __name__, url_prefix="/v1/events", description="Events and their prices")


OPENING_SECONDS = 30  # 80,000 seats


MOST = 999_999_999_999
TAX_RATE = {"description": "0.19: of 119, 19 are tax"}
BOOKING_FEE = {
    "description": "for a booking that is not free, beside its tickets' fees; in minor units, tax "
    "included"
}
SEATS_PER_BUYER = {"description": "how many seats a buyer may have"}
HOLD = {"description": "seconds to pay"}
GATED = {"description": "seats are only sold through the queue"}
CLAIM = {"description": "seconds to take a pass"}
GRACE = {"description": "seconds to return after a missed pass"}
PASS = {"description": "seconds to use a pass"}
TERMS = {"description": "what buyers have to accept; empty: nothing"}
METHODS = {"description": "that the gateway offers; empty: only offline payment"}
OFFLINE = {"description": "seconds to pay at the box office or by transfer; null: not allowed"}
OFFLINE_INSTRUCTIONS = {"description": "how to pay offline; mailed to the buyer"}
PRICES = {"description": "the prices: one for each category of the plan that has seats"}
NAME = {"description": "the event's name"}
CATEGORY = {"description": "the number of the plan's category: 1, 2, 3 … in the file's order"}
FEE = {"description": "of a ticket, in minor units, tax included"}
ACCESSIBLE_RELEASE = {
    "description": "how many seconds before starts_at the places kept for wheelchairs and their "
    "companions are released, and sold to all; null: never"
}


class NewPrice(Schema):
    """The price of a category."""

    category = StrictInteger(least=1, most=32767, required=True, metadata=CATEGORY)
    price = StrictInteger(
        most=MOST,
        required=True,
        metadata={"description": "in the currency's smallest unit, tax included"},
    )
    fee = StrictInteger(most=MOST, load_default=0, metadata=FEE)
    tax_rate = Rate(load_default=Decimal(0), metadata=TAX_RATE)


class Currency(Text):
    """Three capital letters, as in EUR."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Regexp(r"^[A-Z]{3}$"), **kwargs)


class EventFields(Schema):
    """The fields that can be changed in a draft; some of them also later."""

    name = Name(metadata=NAME)
    starts_at = Timestamp()
    on_sale_at = Timestamp()
    off_sale_at = Timestamp()
    time_zone = TimeZone()
    currency = Currency()
    booking_fee = StrictInteger(most=MOST, metadata=BOOKING_FEE)
    booking_fee_tax_rate = Rate(metadata=TAX_RATE)
    seats_per_buyer = StrictInteger(least=1, most=50, metadata=SEATS_PER_BUYER)
    hold_seconds = StrictInteger(least=5, most=86_400, metadata=HOLD)
    gated = StrictBoolean(metadata=GATED)
    claim_seconds = StrictInteger(least=1, most=3600, metadata=CLAIM)
    grace_seconds = StrictInteger(least=0, most=86_400, metadata=GRACE)
    pass_seconds = StrictInteger(least=5, most=86_400, metadata=PASS)
    terms = Paragraphs(least=0, most=20_000, metadata=TERMS)
    accessible_release_seconds = StrictInteger(
        most=365 * 86_400, allow_none=True, metadata=ACCESSIBLE_RELEASE
    )
    payment_methods = fields.List(OneOf(METHOD), validate=unique, metadata=METHODS)
    offline_seconds = StrictInteger(least=60, most=90 * 86_400, allow_none=True, metadata=OFFLINE)
    offline_instructions = Paragraphs(least=0, most=2000, metadata=OFFLINE_INSTRUCTIONS)
    categories = fields.List(
        fields.Nested(NewPrice), validate=validate.Length(min=1, max=200), metadata=PRICES
    )

    @validates_schema
    def check_order(self, given: dict[str, Any], **_: Any) -> None:
        begins, ends = given.get("on_sale_at"), given.get("off_sale_at")
        if begins and ends and begins >= ends:
            raise ValidationError("The sale must end after it begins.", "off_sale_at")


class EventChanges(EventFields):
    """What is to be changed; fields that are left out stay."""

    plan_version_id = StrictInteger(
        least=1,
        metadata={
            "description": "another version of the venue's plans; prices of categories of the same "
            "name stay, or give `categories`"
        },
    )


class NewPlanVersion(Schema):
    """The version of the plan to move to."""

    plan_version_id = StrictInteger(least=1, required=True)


class NewEvent(EventFields):
    """An event, with its prices."""

    name = Name(required=True, metadata=NAME)
    venue_id = StrictInteger(least=1, required=True)
    plan_version_id = StrictInteger(least=1, required=True)
    gateway_account_id = StrictInteger(
        least=1,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "who takes the money; null: the organisation's last active account"
        },
    )
    starts_at = Timestamp(required=True)
    on_sale_at = Timestamp(required=True)
    off_sale_at = Timestamp(required=True)
    time_zone = TimeZone(
        load_default=None, allow_none=True, metadata={"description": "the venue's, if not given"}
    )
    currency = Currency(required=True)
    booking_fee = StrictInteger(most=MOST, load_default=0, metadata=BOOKING_FEE)
    booking_fee_tax_rate = Rate(load_default=Decimal(0), metadata=TAX_RATE)
    seats_per_buyer = StrictInteger(least=1, most=50, load_default=8, metadata=SEATS_PER_BUYER)
    hold_seconds = StrictInteger(least=5, most=86_400, load_default=600, metadata=HOLD)
    gated = StrictBoolean(load_default=True, metadata=GATED)
    claim_seconds = StrictInteger(least=1, most=3600, load_default=60, metadata=CLAIM)
    grace_seconds = StrictInteger(least=0, most=86_400, load_default=300, metadata=GRACE)
    pass_seconds = StrictInteger(least=5, most=86_400, load_default=600, metadata=PASS)
    terms = Paragraphs(least=0, most=20_000, load_default="", metadata=TERMS)
    accessible_release_seconds = StrictInteger(
        most=365 * 86_400, allow_none=True, metadata=ACCESSIBLE_RELEASE
    )
    payment_methods = fields.List(
        OneOf(METHOD),
        validate=unique,
        load_default=lambda: ["card"],
        metadata=METHODS | {"default": ["card"]},
    )
    offline_seconds = StrictInteger(
        least=60, most=90 * 86_400, load_default=None, allow_none=True, metadata=OFFLINE
    )
    offline_instructions = Paragraphs(
        least=0, most=2000, load_default="", metadata=OFFLINE_INSTRUCTIONS
    )
    categories = fields.List(
        fields.Nested(NewPrice),
        required=True,
        validate=validate.Length(min=1, max=200),
        metadata=PRICES,
    )


class EventCopy(Schema):
    """What is different in a copy."""

    name = Name(metadata={"description": "the event's, if not given"})
    starts_at = Timestamp(required=True)
    on_sale_at = Timestamp(
        metadata={"description": "as long before it as the event's, if not given"}
    )
    off_sale_at = Timestamp(
        metadata={"description": "as long before it as the event's, if not given"}
    )


class EventVenue(Answer):
    """Where an event is."""

    id = StrictInteger(metadata={"description": "the venue's id"})
    name = fields.String(metadata={"description": "the venue's name"})
    city = fields.String(metadata={"description": "empty: not given"})
    time_zone = fields.String()


class EventPrice(Answer):
    """The price of a category."""

    category = StrictInteger(metadata=CATEGORY)
    name = fields.String(metadata={"description": "the category's name"})
    price_type = StrictInteger()
    price = StrictInteger(metadata={"description": "in minor units, tax included"})
    fee = StrictInteger(metadata=FEE)
    tax_rate = fields.Float(metadata=TAX_RATE)


class EventSummary(Answer):
    """An event, in short."""

    id = StrictInteger(metadata={"description": "the event's id"})
    name = fields.String(metadata=NAME)
    venue = fields.Nested(EventVenue)
    starts_at = fields.AwareDateTime()
    on_sale_at = fields.AwareDateTime()
    off_sale_at = fields.AwareDateTime()
    time_zone = fields.String()
    state = OneOf(EVENT_STATE)
    currency = fields.String()


class EventPage(Page):
    """A page of events."""

    state = OneOf(
        EVENT_STATE, load_default=None, metadata={"description": "only events in this state"}
    )
    venue_id = QueryInteger(
        least=1, load_default=None, metadata={"description": "only events of this venue"}
    )
    name = Line(load_default=None, metadata={"description": "only those with this in their names"})
    starts_from = Timestamp(
        load_default=None, metadata={"description": "only events that start then or later"}
    )
    starts_before = Timestamp(
        load_default=None, metadata={"description": "only events that start before then"}
    )


class Event(EventSummary):
    """An event, with its prices."""

    booking_fee = StrictInteger(metadata=BOOKING_FEE)
    booking_fee_tax_rate = fields.Float(metadata=TAX_RATE)
    seats_per_buyer = StrictInteger(metadata=SEATS_PER_BUYER)
    hold_seconds = StrictInteger(metadata=HOLD)
    gated = fields.Boolean(metadata=GATED)
    claim_seconds = StrictInteger(metadata=CLAIM)
    grace_seconds = StrictInteger(metadata=GRACE)
    pass_seconds = StrictInteger(metadata=PASS)
    payment_methods = fields.List(OneOf(METHOD), metadata=METHODS)
    offline_seconds = StrictInteger(allow_none=True, metadata=OFFLINE)
    offline_instructions = fields.String(metadata=OFFLINE_INSTRUCTIONS)
    accessible_release_seconds = StrictInteger(allow_none=True, metadata=ACCESSIBLE_RELEASE)
    accessible_released_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when they were released; null: they are kept"}
    )
    plan_version_id = StrictInteger()
    is_test = fields.Boolean(
        metadata={"description": "it does not take place: no money moves; see test_mode"}
    )
    categories = fields.List(fields.Nested(EventPrice), metadata=PRICES)
    terms = fields.String(metadata=TERMS)
    server_time = fields.AwareDateTime()


NEW_EVENT = {
    "name": "Tosca",
    "venue_id": 1,
    "plan_version_id": 1,
    "starts_at": "2040-05-01T20:00:00+02:00",
    "on_sale_at": "2025-01-01T10:00:00+01:00",
    "off_sale_at": "2040-05-01T19:00:00+02:00",
    "currency": "EUR",
    "gated": False,
    "terms": "Tickets are not transferable.",
    "offline_seconds": 604800,
    "offline_instructions": "At the box office, daily from 10 to 18.",
    "categories": [
        {"category": 1, "price": 9000, "fee": 500, "tax_rate": 0.07},
        {"category": 2, "price": 5000, "fee": 300, "tax_rate": 0.07},
    ],
}


@blp.route("", methods=["POST"])
@needs("events.write")
@blp.arguments(NewEvent, example=NEW_EVENT)
@blp.idempotent(Event, key_required=False)
def add_event(conn: Conn, given: dict[str, Any]) -> dict[str, Any]:
    """Add an event as a draft. Every category of its plan needs a price."""
    fields = {"accessible_release_seconds": None} | given
    prices = fields.pop("categories")
    return _get(conn, events.add_event(conn, caller().scope, fields, prices))


@blp.route("")
@blp.paginated(EventSummary)
def list_events(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """Events that are on sale or announced."""
    return events.list_events(conn, **page)


@blp.route("/<id:event_id>")
@blp.doc(security=[{}, {"api_key": []}, {"staff": []}])
@blp.response(200, Event)
def get_event(event_id: int) -> Any:
    """An event with its prices; a draft is only shown to its organiser."""
    organisation = caller_if_any("events.read")
    if organisation is None:
        return Response(public_events().get(event_id).document(), mimetype="application/json")
    with autocommit() as conn:
        return events.get_event(conn, event_id, organisation.scope)


dump_event = compile_dump(Event())


@dataclass(frozen=True)
class PublicEvent:
    """An event as all see it. Only `server_time` differs from answer to answer: it stands between
    the two parts of the document."""

    parts: tuple[bytes, bytes]
    read_at: tuple[datetime, float]
    """By the database's clock, and by monotonic()."""
    plan_version_id: int

    def document(self) -> bytes:
        database, process = self.read_at
        now = database + timedelta(seconds=monotonic() - process)
        return now.isoformat().encode().join(self.parts)


def _show(event_id: int, _: PublicEvent | None) -> PublicEvent:
    with autocommit() as conn:
        row = events.get_event(conn, event_id, events.PUBLIC)
    read_at = row["server_time"], monotonic()
    name = b'"server_time":"'
    before, _name, after = to_json(dump_event(row)).partition(name)
    return PublicEvent((before + name, after[after.index(b'"') :]), read_at, row["plan_version_id"])


def keep_events(app: Flask) -> None:
    app.extensions["public_events"] = Snapshots(_show, seconds=1, most=200)
    app.after_request(forget_changed)


def public_events() -> Snapshots[PublicEvent]:
    """Events as all see them, at most a second old."""
    kept: Snapshots[PublicEvent] = current_app.extensions["public_events"]
    return kept


def forget_changed(answer: Response) -> Response:
    """Show an organiser's change at once, at least in this process."""
    if "caller" in g and request.method not in ("GET", "HEAD"):
        public_events().forget((request.view_args or {}).get("event_id", 0))
    return answer


@blp.route("/<id:event_id>", methods=["PATCH"])
@needs("events.write")
@blp.arguments(
    EventChanges,
    example={
        "hold_seconds": 900,
        "categories": [
            {"category": 1, "price": 9500, "fee": 500, "tax_rate": 0.07},
            {"category": 2, "price": 5000, "fee": 300, "tax_rate": 0.07},
        ],
    },
)
@blp.response(200, Event)
@blp.conflicts(
    "already_released",
    "archived",
    "buyers_must_be_told",
    "cancelled",
    "categories_differ",
    "fixed_after_opening",
    "only_later",
    "only_more",
    "sale_has_begun",
)
def change_event(given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Change an event. A draft may be changed in everything; prices are given as a whole. After
    opening, texts change at once; prices, fees, ways to pay and times of holds for later holds;
    `seats_per_buyer` can be raised and `off_sale_at` be later, `on_sale_at` changes until the sale
    begins. Another field is answered by 409 with its path and the reason: of `starts_at` and
    `time_zone` buyers are told (POST …/postponements), `currency` stays. `offline_instructions` of
    an opened event are dangerous: they say to which bank account buyers pay."""
    prices = given.pop("categories", None)
    with transaction(caller().name) as conn:
        _check_payee(conn, given, event_id)
        events.change_event(conn, caller().scope, event_id, given, prices)
        return _get(conn, event_id)


@blp.route("/<id:event_id>/copies", methods=["POST"])
@needs("events.write")
@blp.arguments(EventCopy, example={"starts_at": "2040-05-02T20:00:00+02:00"})
@blp.idempotent(Event, key_required=False)
def duplicate_event(conn: Conn, given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Add a draft that is like an event in all its fields and prices, but for its times. A lobby
    and what is set for the queue are not copied."""
    return _get(conn, events.duplicate_event(conn, caller().scope, event_id, given))


@blp.route("/<id:event_id>", methods=["DELETE"])
@needs("events.write")
@blp.response(204)
@blp.conflicts("not_a_draft")
def delete_draft(event_id: int) -> None:
    """Delete a draft; an event that was opened is closed or cancelled instead."""
    with transaction(caller().name) as conn:
        events.delete_draft(conn, caller().scope, event_id)


@blp.route("/<id:event_id>/plan-version", methods=["POST"])
@needs("events.write")
@blp.arguments(NewPlanVersion, example={"plan_version_id": 2})
@blp.response(200, Event)
@blp.conflicts("cancelled", "archived", "categories_differ", "seats_gone")
def move_event(given: dict[str, int], event_id: int) -> dict[str, Any]:
    """Move it to another version of its plan, on sale or not: bookings keep their seats under the
    new labels. Refused if a booked seat is not in that version, or a category lacks its price."""
    with transaction(caller().name, OPENING_SECONDS) as conn:
        events.move_event(conn, caller().scope, event_id, given["plan_version_id"])
        return _get(conn, event_id)


@blp.route("/<id:event_id>/open", methods=["POST"])
@needs("events.write")
@blp.response(200, Event)
@blp.conflicts(
    "cancelled",
    "hold_too_long",
    "not_a_multiple",
    "sale_after_start",
    "sale_over",
    "suspended",
    "sale_too_long",
    "starts_in_the_past",
    "too_little",
    "too_much",
)
@blp.alt_response(422, "UNPROCESSABLE_ENTITY")
def open_event(event_id: int) -> dict[str, Any]:
    """Put it on sale from on_sale_at on. The first time also makes its seats. A closed event is
    reopened."""
    with transaction(caller().name, OPENING_SECONDS) as conn:
        events.open_sale(conn, caller().scope, event_id)
        return _get(conn, event_id)


@blp.route("/<id:event_id>/close", methods=["POST"])
@needs("events.write")
@blp.response(200, Event)
@blp.conflicts("not_on_sale")
def close_event(event_id: int) -> dict[str, Any]:
    """End the sale and its queue; bookings continue."""
    with transaction(caller().name) as conn:
        events.close_sale(conn, caller().scope, event_id)
        return _get(conn, event_id)


def _check_payee(conn: Conn, given: dict[str, Any], event_id: int) -> None:
    """Refuse to tell buyers to pay elsewhere, unless it was confirmed. Errors: NotAllowed."""
    if "offline_instructions" not in given:
        return
    event = _get(conn, event_id)
    if event["state"] != "draft" and event["offline_instructions"] != given["offline_instructions"]:
        caller().check_confirmed("This changes where buyers pay")


def _get(conn: Conn, event_id: int) -> dict[str, Any]:
    return events.get_event(conn, event_id, caller().scope)
