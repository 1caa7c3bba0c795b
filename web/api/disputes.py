"""Disputes and fraud warnings, for organisers."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.connections import Conn
from db.payments import disputes
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Line, Schema, StrictInteger, Text
from web.support.pages import Page

blp = Blueprint(
    "disputes", __name__, url_prefix="/v1/events/<id:event_id>", description="Disputed payments"
)


class DisputePage(Page):
    starting_after = Text(load_default=None)


class FreezeCause(Schema):
    id = fields.String(metadata={"description": "the gateway's"})
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = fields.String()
    payment_id = fields.UUID()
    created_at = fields.AwareDateTime()


class Dispute(FreezeCause):
    state = fields.String(
        metadata={"description": "needs_response, under_review, won, lost or warning_…"}
    )
    reason = fields.String()
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    respond_by = fields.AwareDateTime(allow_none=True)
    updated_at = fields.AwareDateTime()


class FraudWarning(FreezeCause):
    kind = fields.String()
    actionable = fields.Boolean(metadata={"description": "a refund would prevent a dispute"})
    released_at = fields.AwareDateTime(allow_none=True)


class Release(Schema):
    reason = Line(most=500, required=True, metadata={"description": "for the audit; not mailed"})


class Released(Schema):
    booking_state = fields.String(
        metadata={"description": "confirmed; or frozen, while a dispute is open"}
    )


@blp.route("/bookings/<uuid:booking_id>/release", methods=["POST"])
@organisations_only
@blp.arguments(Release)
@blp.idempotent(Released)
def dismiss_fraud_warning(
    conn: Conn, given: dict[str, str], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Dismiss a fraud warning, so that the booking is unfrozen. The alternative is a refund."""
    return disputes.dismiss_fraud_warning(conn, caller().scope, event_id, booking_id, **given)


@blp.route("/disputes")
@organisations_only
@blp.paginated(Dispute, DisputePage)
def list_disputes(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's disputes, latest first. A booking is frozen until its dispute is decided."""
    return disputes.list_disputes(conn, caller().scope, event_id, **page)


@blp.route("/fraud-warnings")
@organisations_only
@blp.paginated(FraudWarning, DisputePage)
def list_warnings(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's fraud warnings by card issuers, latest first. A booking is frozen until its
    warning is dismissed or it is refunded."""
    return disputes.list_warnings(conn, caller().scope, event_id, **page)
