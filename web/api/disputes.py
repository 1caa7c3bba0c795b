"""Disputes and fraud warnings, for organisers."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.connections import Conn
from db.payments import disputes
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import BOOKING_STATE, DISPUTE_STATE
from web.support.fields import Answer, Line, OneOf, Schema, StrictInteger, Text
from web.support.pages import Page

blp = Blueprint(
    "disputes", __name__, url_prefix="/v1/events/<id:event_id>", description="Disputed payments"
)


class DisputePage(Page):
    """A page of a list."""

    starting_after = Text(load_default=None, metadata={"description": "the last id you have"})


class FreezeCause(Answer):
    """Why a booking is frozen."""

    id = fields.String(metadata={"description": "the gateway's"})
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = OneOf(BOOKING_STATE)
    payment_id = fields.UUID()
    created_at = fields.AwareDateTime()


class Dispute(FreezeCause):
    """A payment that the buyer disputes at the bank."""

    state = OneOf(DISPUTE_STATE)
    reason = fields.String(metadata={"description": "the gateway's word, as in fraudulent"})
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    respond_by = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "until when the gateway takes an answer; null: it wants none"},
    )
    updated_at = fields.AwareDateTime()


class FraudWarning(FreezeCause):
    """A payment that the card's issuer takes for fraud."""

    kind = fields.String(
        metadata={"description": "the gateway's word, as in made_with_stolen_card"}
    )
    actionable = fields.Boolean(metadata={"description": "a refund would prevent a dispute"})
    released_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was dismissed; null: it was not"}
    )


class Release(Schema):
    """Why a fraud warning is dismissed."""

    reason = Line(most=500, required=True, metadata={"description": "for the audit; not mailed"})


class Released(Answer):
    """The booking afterwards."""

    booking_state = OneOf(
        BOOKING_STATE, metadata={"description": "confirmed; or frozen, while a dispute is open"}
    )


@blp.route("/bookings/<uuid:booking_id>/release", methods=["POST"])
@needs("reviews.decide")
@blp.arguments(Release, example={"reason": "We called the buyer."})
@blp.idempotent(Released)
@blp.conflicts("disputed", "not_frozen")
def dismiss_fraud_warning(
    conn: Conn, given: dict[str, str], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Dismiss a fraud warning, so that the booking is unfrozen. The alternative is a refund."""
    return disputes.dismiss_fraud_warning(conn, caller().scope, event_id, booking_id, **given)


@blp.route("/disputes")
@needs("disputes.read")
@blp.paginated(Dispute, DisputePage)
def list_disputes(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's disputes, latest first. A booking is frozen until its dispute is decided."""
    return disputes.list_disputes(conn, caller().scope, event_id, **page)


@blp.route("/fraud-warnings")
@needs("disputes.read")
@blp.paginated(FraudWarning, DisputePage)
def list_fraud_warnings(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's fraud warnings by card issuers, latest first. A booking is frozen until its
    warning is dismissed or it is refunded."""
    return disputes.list_warnings(conn, caller().scope, event_id, **page)
