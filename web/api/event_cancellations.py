"""Cancelling an event."""

from typing import Any

from marshmallow import fields

from db.connections import Conn, autocommit
from db.payments import event_cancellations
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import Answer, Line, Schema, StrictBoolean, StrictInteger

blp = Blueprint(
    "cancellations",
    __name__,
    url_prefix="/v1/events/<id:event_id>",
    description="Cancelling an event",
)


class NewCancellation(Schema):
    """Why an event is cancelled."""

    reason = Line(most=500, required=True, metadata={"description": "mailed to buyers"})
    with_fees = StrictBoolean(load_default=True, metadata={"description": "fees are refunded, too"})


class Cancellation(Answer):
    """Bookings that were confirmed, how many of them are cancelled, and their refunds."""

    event_id = StrictInteger()
    reason = fields.String(metadata={"description": "as it is mailed to buyers"})
    with_fees = fields.Boolean(metadata={"description": "fees are refunded, too"})
    requested_by = fields.String(metadata={"description": "role and id, as in organiser:3"})
    requested_at = fields.AwareDateTime(metadata={"description": "when it was asked for"})
    finished_at = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "when the last refund was requested; null: not yet"},
    )
    bookings = StrictInteger(metadata={"description": "bookings that were confirmed"})
    cancelled = StrictInteger(metadata={"description": "bookings of them that are cancelled"})
    requested = StrictInteger(
        metadata={"description": "refunds; of them pending, succeeded and failed"}
    )
    pending = StrictInteger(metadata={"description": "refunds on their way"})
    succeeded = StrictInteger(metadata={"description": "refunds that were paid"})
    failed = StrictInteger(metadata={"description": "refunds that did not arrive"})
    amount = StrictInteger(metadata={"description": "of all refunds, in minor units"})
    owed = StrictInteger(metadata={"description": "of refunds that failed and were not settled"})


@blp.route("/cancel", methods=["POST"])
@needs("events.cancel")
@blp.arguments(NewCancellation, example={"reason": "The tenor is ill.", "with_fees": True})
@blp.idempotent(Cancellation, 202)
@blp.conflicts("already_cancelled", "archived", "suspended")
def cancel_event(conn: Conn, given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Cancel an event for good: its queue and holds end, and all bookings are refunded."""
    return event_cancellations.cancel_event(conn, caller().scope, event_id, **given)


@blp.route("/cancellation")
@needs("refunds.read")
@blp.response(200, Cancellation)
def get_cancellation(event_id: int) -> dict[str, Any]:
    """The progress of cancelling and refunding."""
    with autocommit() as conn:
        return event_cancellations.get_cancellation(conn, caller().scope, event_id)
