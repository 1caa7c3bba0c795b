"""Disputed payments, and warnings of fraud, as organisers see them."""

from typing import Any

from marshmallow import fields

from db import disputes
from db.connections import autocommit
from web.auth import caller, sellers_only
from web.blueprint import MAX_LIMIT, Blueprint, page_of
from web.fields import Digits, Shape, Text, Whole

blp = Blueprint(
    "disputes", __name__, url_prefix="/v1/events/<id:event_id>", description="Disputed payments"
)


class DisputePage(Shape):
    starting_after = Text(load_default=None)
    limit = Digits(least=1, most=MAX_LIMIT, load_default=20)


class Suspicion(Shape):
    id = fields.String(metadata={"description": "the gateway's"})
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = fields.String()
    payment_id = fields.UUID()
    created_at = fields.AwareDateTime()


class Dispute(Suspicion):
    state = fields.String(
        metadata={"description": "needs_response, under_review, won, lost or warning_…"}
    )
    reason = fields.String()
    amount = Whole(metadata={"description": "in minor units"})
    currency = fields.String()
    respond_by = fields.AwareDateTime(allow_none=True)
    updated_at = fields.AwareDateTime()


class FraudWarning(Suspicion):
    kind = fields.String()
    actionable = fields.Boolean(metadata={"description": "a refund would prevent a dispute"})


@blp.route("/disputes")
@sellers_only
@blp.arguments(DisputePage, location="query")
@blp.response(200, Dispute(many=True))
def list_disputes(page: dict[str, Any], event_id: int) -> Any:
    """An event's disputed payments, latest first; their bookings are frozen until decided."""
    after, limit = page["starting_after"], page["limit"]
    with autocommit() as conn:
        rows = disputes.list_disputes(conn, caller().scope, event_id, after, limit + 1)
    return page_of(rows, limit)


@blp.route("/fraud-warnings")
@sellers_only
@blp.arguments(DisputePage, location="query")
@blp.response(200, FraudWarning(many=True))
def list_warnings(page: dict[str, Any], event_id: int) -> Any:
    """Payments of which an issuer of cards suspects fraud, latest first."""
    after, limit = page["starting_after"], page["limit"]
    with autocommit() as conn:
        rows = disputes.list_warnings(conn, caller().scope, event_id, after, limit + 1)
    return page_of(rows, limit)
