"""Postponing an event: another date or place, and buyers who keep their bookings or give them
back."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validates_schema

from db.bookings import bookings
from db.connections import Conn
from db.payments import postponements
from db.payments.postponements import Postponement as Asked
from web.api.bookings import BOOKING, Booking
from web.support.auth import buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import Answer, Line, Schema, StrictInteger, Timestamp, TimeZone

blp = Blueprint("postponements", __name__, url_prefix="/v1", description="Postponing an event")

EVENT = "/events/<id:event_id>"


class NewPostponement(Schema):
    """Another date, time zone or venue, or several of them."""

    starts_at = Timestamp(load_default=None, metadata={"description": "the new date and time"})
    time_zone = TimeZone(
        load_default=None, metadata={"description": "the new place's; as it was, if not given"}
    )
    venue_id = StrictInteger(
        least=1,
        load_default=None,
        metadata={
            "description": "another venue of the organisation. Seats stay as they are; move them "
            "with POST …/plan-version, if that venue has them"
        },
    )
    give_back_until = Timestamp(
        required=True,
        metadata={
            "description": "until when buyers may give back what they booked before, with all "
            "fees; not later than the new date"
        },
    )
    reason = Line(
        least=0, most=500, load_default="", metadata={"description": "mailed to the buyers"}
    )

    @validates_schema(skip_on_field_errors=True)
    def check_change(self, given: dict[str, Any], **_: Any) -> None:
        if not (given["starts_at"] or given["time_zone"] or given["venue_id"]):
            raise ValidationError("Give a new date, time zone or venue.", "starts_at")


class Postponement(Answer):
    """What changed, and what became of the bookings that were made before."""

    id = StrictInteger(metadata={"description": "counted from 1 for each event"})
    reason = fields.String(metadata={"description": "as it was mailed to the buyers"})
    old_starts_at = fields.AwareDateTime(metadata={"description": "the date before"})
    new_starts_at = fields.AwareDateTime(metadata={"description": "the date since then"})
    old_time_zone = fields.String(metadata={"description": "as in Europe/Berlin"})
    new_time_zone = fields.String(metadata={"description": "as in Europe/Berlin"})
    old_venue_id = StrictInteger(metadata={"description": "the venue before"})
    new_venue_id = StrictInteger(metadata={"description": "the venue since then"})
    give_back_until = fields.AwareDateTime(
        metadata={"description": "until when buyers may give their bookings back"}
    )
    requested_by = fields.String(metadata={"description": "role and id of the API key"})
    requested_at = fields.AwareDateTime(
        metadata={"description": "bookings that were made before may be given back"}
    )
    finished_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when all mails were written; null: not yet"}
    )
    replaced = fields.Boolean(metadata={"description": "by a later one, whose mails are sent"})
    told = StrictInteger(metadata={"description": "bookings whose buyer gets a mail"})
    kept = StrictInteger(metadata={"description": "bookings from before that are sold"})
    given_back = StrictInteger(metadata={"description": "bookings that buyers gave back"})


@blp.route(f"{EVENT}/postponements", methods=["POST"])
@needs("events.postpone")
@blp.arguments(
    NewPostponement,
    example={
        "starts_at": "2040-06-01T20:00:00+02:00",
        "give_back_until": "2040-05-20T20:00:00+02:00",
        "reason": "The tenor is ill.",
    },
)
@blp.idempotent(Postponement, 202)
@blp.conflicts(*postponements.CONFLICTS)
def postpone_event(conn: Conn, given: Asked, event_id: int) -> dict[str, Any]:
    """Move an event to another date or place. Each buyer is told by mail once, and may keep the
    booking or give it back until `give_back_until`. Another postponement replaces this one."""
    return postponements.postpone_event(conn, caller().scope, event_id, given)


@blp.route(f"{EVENT}/postponements")
@needs("events.read")
@blp.paginated(Postponement)
def list_postponements(conn: Conn, page: dict[str, int], event_id: int) -> list[dict[str, Any]]:
    """The postponements of an event, the latest first, with how many buyers were told, keep their
    bookings, and gave them back."""
    return postponements.list_postponements(conn, caller().scope, event_id, **page)


@blp.route(f"{BOOKING}/give-back", methods=["POST"])
@buyers_only
@blp.idempotent(Booking, 200)
@blp.conflicts(*postponements.REFUSALS)
def give_back(conn: Conn, event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Give your booking of a postponed event back, whole: its tickets are void, and all of your
    money comes back, with all fees. Allowed until the booking's `give_back_until`."""
    postponements.give_back(conn, event_id, booking_id, buyer_id())
    return bookings.get_booking(conn, event_id, booking_id, buyer_id())
