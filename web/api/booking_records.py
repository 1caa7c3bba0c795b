"""Bookings as their organisation sees them: found, read, and set right."""

from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from db.accounts.audit_log import audit
from db.bookings import corrections
from db.connections import Conn, transaction
from db.maintenance import booking_details, booking_search
from db.runtime.errors import InvalidRequest
from web.api.bookings import BookingBreakdown, BookingSummary, Failure, Item, MoneyBack
from web.api.offline import ReceivedTransfer
from web.api.tickets import TicketOfSeat
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import (
    ANY_METHOD,
    BOOKING_STATE,
    HAPPENING,
    PAYMENT_STATE,
)
from web.support.fields import (
    Answer,
    Email,
    Line,
    Name,
    OneOf,
    Paragraphs,
    QueryInteger,
    Schema,
    StrictInteger,
    Text,
    Timestamp,
)
from web.support.pages import PageByUUID

blp = Blueprint(
    "booking_records", __name__, url_prefix="/v1", description="Bookings, for organisers"
)

BOOKING = "/events/<id:event_id>/bookings/<uuid:booking_id>"
MOST_TAGS = 20


class Tag(Line):
    """A word or a few."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=40, **kwargs)


class BookingSearch(PageByUUID):
    """What bookings shall be, all of it; without, they are all listed."""

    event_id = QueryInteger(least=1, load_default=None, metadata={"description": "of this event"})
    state = OneOf(BOOKING_STATE, load_default=None, metadata={"description": "in this state"})
    email = Email(
        load_default=None,
        metadata={
            "description": "the buyer's whole address, or where the booking's mails go",
            "format": "email",
            "personal": True,
        },
    )
    name = Line(
        load_default=None,
        metadata={
            "description": "whole words of the buyer's name, in any order; without marks and case: "
            "nguyen finds Nguyễn",
            "personal": True,
        },
    )
    code = Text(most=40, load_default=None, metadata={"description": "the booking's code"})
    reference = Line(
        load_default=None,
        metadata={
            "description": "of a transfer: as it was recorded, or with the booking's code in it",
            "personal": True,
        },
    )
    card = Text(
        load_default=None,
        validate=validate.Regexp("^[0-9]{4}$", error="The last four digits."),
        metadata={"description": "the last four digits of the card", "personal": True},
    )
    seat = Line(
        load_default=None,
        metadata={
            "description": "of event_id: the guid, or row and number, or zone, row and number, as "
            "in Stalls B 12; finds the booking that has it now"
        },
    )
    tag = Tag(load_default=None, metadata={"description": "with this tag", "personal": True})


class FoundBooking(BookingSummary):
    """A booking with its buyer."""

    event_id = StrictInteger()
    event = fields.String(metadata={"description": "the event's name"})
    starts_at = fields.AwareDateTime()
    time_zone = fields.String(metadata={"description": "the event's"})
    buyer_id = StrictInteger()
    name = fields.String(metadata={"description": "the buyer's, or as it was corrected"})
    email = fields.String(metadata={"description": "where the booking's mails go"})
    channel = fields.String(metadata={"description": "where it was made, as in web"})
    method = OneOf(
        ANY_METHOD, allow_none=True, metadata={"description": "of the payment; null: none yet"}
    )
    tags = fields.List(fields.String(), metadata={"description": "as your people set them"})
    confirmed_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when its tickets were issued; null: not yet"}
    )
    ended_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it ended; null: it did not"}
    )


class RecordedPayment(Answer):
    """An attempt to pay, in minor units."""

    id = fields.UUID(metadata={"description": "the attempt's id"})
    method = OneOf(ANY_METHOD)
    state = OneOf(PAYMENT_STATE)
    amount = StrictInteger(metadata={"description": "that was asked for"})
    currency = fields.String()
    captured = StrictInteger(metadata={"description": "that was paid"})
    refunded = StrictInteger(metadata={"description": "that goes or went back"})
    kept = StrictInteger(metadata={"description": "not given back of a booking that has ended"})
    card_last4 = fields.String(
        allow_none=True, metadata={"description": "the card's last four digits; null: not known"}
    )
    reference = fields.String(
        allow_none=True, metadata={"description": "of money that came offline; null: none"}
    )
    failure = fields.Nested(
        Failure, allow_none=True, metadata={"description": "null: it has not failed"}
    )
    created_at = fields.AwareDateTime()


class RecordedTicket(TicketOfSeat):
    """A ticket with its history, without the content of its code."""

    issued_at = fields.AwareDateTime(metadata={"description": "when it was issued"})
    voided_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it became void; null: it did not"}
    )


class NewNote(Schema):
    """A note about a booking."""

    note = Paragraphs(
        most=2000, required=True, metadata={"description": "only your people read it"}
    )


class Note(Answer):
    """A note about a booking."""

    id = fields.UUID(metadata={"description": "the note's id"})
    note = fields.String(metadata={"description": "what was written"})
    written_by = fields.String(metadata={"description": "role and id, as in organiser:3"})
    created_at = fields.AwareDateTime()


class BookingDetails(FoundBooking):
    """A booking with all that belongs to it."""

    seconds_left = fields.Float(
        allow_none=True, metadata={"description": "to pay; null: paid or ended"}
    )
    reason = fields.String(
        allow_none=True,
        metadata={"description": "why it ended, as the buyer reads it; null: it did not"},
    )
    being_checked = fields.Boolean(
        metadata={"description": "the payment is in doubt: operators are told, the seats are kept"}
    )
    items = fields.List(fields.Nested(Item), metadata={"description": "its seats"})
    breakdown = fields.Nested(BookingBreakdown)
    payments = fields.List(
        fields.Nested(RecordedPayment), metadata={"description": "the latest first"}
    )
    refunds = fields.List(fields.Nested(MoneyBack), metadata={"description": "the first one first"})
    transfers = fields.List(
        fields.Nested(ReceivedTransfer), metadata={"description": "the first one first"}
    )
    tickets = fields.List(
        fields.Nested(RecordedTicket), metadata={"description": "void ones among them"}
    )
    notes = fields.List(
        fields.Nested(Note), metadata={"description": "the latest 20, the latest first"}
    )


class Happening(Answer):
    """Something that happened to a booking."""

    at = fields.AwareDateTime(metadata={"description": "when"})
    kind = OneOf(HAPPENING)
    what = fields.String(
        metadata={"description": "the new state, or what was done, as in deadline extended"}
    )
    id = fields.UUID(
        allow_none=True, metadata={"description": "of what it happened to; null: it has none"}
    )
    actor = fields.String(
        allow_none=True,
        metadata={"description": "who did it: role and id, as in buyer:7; null: not written down"},
    )
    detail = fields.Dict(
        metadata={
            "description": "from which state, which amount, which mail; its keys depend on kind"
        }
    )


class NewDeadline(Schema):
    """A later time."""

    deadline = Timestamp(
        required=True,
        metadata={"description": "until when it can be paid; at most the event's start"},
    )


class NewBookingName(Schema):
    """The right name."""

    name = Name(required=True, metadata={"description": "for this booking and its mails alone"})


class NewTags(Schema):
    """All tags that the booking shall have."""

    tags = fields.List(
        Tag(),
        required=True,
        validate=validate.Length(max=MOST_TAGS),
        metadata={"description": "each once; they replace those it had"},
    )


@blp.route("/organisations/<id:organisation_id>/bookings")
@needs("bookings.read")
@blp.paginated(FoundBooking, BookingSearch, reads="bookings read")
def find_bookings(conn: Conn, page: dict[str, Any], organisation_id: int) -> list[dict[str, Any]]:
    """Bookings of your organisation, latest first: all, or those that are what the query says. By
    name, card, tag and in lists, a change is found within ten seconds. Those in the archive are
    not found; they are read by their ids."""
    if page["seat"] is not None and page["event_id"] is None:
        message = "A seat is looked for in one event: give event_id, too."
        raise InvalidRequest(message, path="event_id", reason="event_needed")
    return booking_search.list_bookings(conn, caller().scope, organisation_id, page)


@blp.route(f"{BOOKING}/details")
@needs("bookings.read")
@blp.response(200, BookingDetails)
def get_booking_details(event_id: int, booking_id: UUID) -> dict[str, Any]:
    """A booking with its buyer, payments, tickets and notes; also from the archive."""
    with transaction(caller().name) as conn:
        found = booking_details.get_details(conn, caller().scope, event_id, booking_id)
        _note_reading(conn, "booking read", found)
        return found


@blp.route(f"{BOOKING}/timeline")
@needs("bookings.read")
@blp.response(200, Happening(many=True))
def get_booking_timeline(event_id: int, booking_id: UUID) -> list[dict[str, Any]]:
    """What happened to a booking, in order: its place in the queue, holds, payments, refunds,
    tickets, mails, and who did what. The first 1,000."""
    with transaction(caller().name) as conn:
        found, timeline = booking_details.list_timeline(conn, caller().scope, event_id, booking_id)
        _note_reading(conn, "booking timeline read", found)
        return timeline


@blp.route(f"{BOOKING}/notes")
@needs("bookings.read")
@blp.paginated(Note, PageByUUID, reads="booking notes read")
def list_booking_notes(
    conn: Conn, page: dict[str, Any], event_id: int, booking_id: UUID
) -> list[dict[str, Any]]:
    """Notes about a booking, latest first."""
    booking_details.find_booking(conn, caller().scope, event_id, booking_id)
    return corrections.list_notes(conn, event_id, booking_id, **page)


@blp.route(f"{BOOKING}/notes", methods=["POST"])
@needs("bookings.write")
@blp.arguments(NewNote, example={"note": "Called: comes ten minutes late."})
@blp.idempotent(Note)
def write_booking_note(
    conn: Conn, given: dict[str, str], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Write a note about a booking. It is erased with its buyer's data."""
    booking_details.find_booking(conn, caller().scope, event_id, booking_id)
    corrections.write_note(conn, event_id, booking_id, given["note"])
    return corrections.list_notes(conn, event_id, booking_id, None, 1)[0]


@blp.route(f"{BOOKING}/tags", methods=["PUT"])
@needs("bookings.write")
@blp.arguments(NewTags, example={"tags": ["press", "aisle"]})
@blp.response(200, FoundBooking)
def set_booking_tags(given: dict[str, Any], event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Replace the tags of a booking. They are erased with its buyer's data."""
    with transaction(caller().name) as conn:
        booking_details.find_booking(conn, caller().scope, event_id, booking_id)
        corrections.set_tags(conn, event_id, booking_id, list(dict.fromkeys(given["tags"])))
        return booking_details.find_booking(conn, caller().scope, event_id, booking_id)


@blp.route(f"{BOOKING}/name", methods=["PUT"])
@needs("bookings.write")
@blp.arguments(NewBookingName, example={"name": "Ana de Lima"})
@blp.response(200, FoundBooking)
def correct_booking_name(given: dict[str, str], event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Correct the name of a booking. The buyer's account keeps its own."""
    with transaction(caller().name) as conn:
        booking_details.find_booking(conn, caller().scope, event_id, booking_id)
        corrections.correct_name(conn, event_id, booking_id, given["name"])
        return booking_details.find_booking(conn, caller().scope, event_id, booking_id)


@blp.route(f"{BOOKING}/deadline", methods=["PUT"])
@needs("bookings.write")
@blp.arguments(NewDeadline, example={"deadline": "2040-04-01T18:00:00+02:00"})
@blp.response(200, FoundBooking)
@blp.conflicts(*corrections.REFUSALS)
def extend_booking_deadline(
    given: dict[str, datetime], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Give a buyer more time to pay, at most until the event begins."""
    with transaction(caller().name) as conn:
        booking_details.find_booking(conn, caller().scope, event_id, booking_id)
        corrections.extend_deadline(conn, event_id, booking_id, given["deadline"])
        return booking_details.find_booking(conn, caller().scope, event_id, booking_id)


def _note_reading(conn: Conn, action: str, found: dict[str, Any]) -> None:
    act = {"booking_id": str(found["id"])}
    audit(conn, action, found["event_id"], act, account_id=found["buyer_id"])
