"""Disputed payments, and warnings of fraud, as organisers see them."""

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import fields

from db.connections import autocommit, transaction
from db.payments import disputes
from web.support.auth import caller, organisations_only
from web.support.blueprint import MAX_LIMIT, Blueprint, page_of
from web.support.fields import Digits, Shape, Text, Whole
from web.support.idempotency import REQUIRED_KEY_HEADER, answer_once, required_key

blp = Blueprint(
    "disputes", __name__, url_prefix="/v1/events/<id:event_id>", description="Disputed payments"
)


class DisputePage(Shape):
    starting_after = Text(load_default=None)
    limit = Digits(least=1, most=MAX_LIMIT, load_default=20)


class FreezeCause(Shape):
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
    amount = Whole(metadata={"description": "in minor units"})
    currency = fields.String()
    respond_by = fields.AwareDateTime(allow_none=True)
    updated_at = fields.AwareDateTime()


class FraudWarning(FreezeCause):
    kind = fields.String()
    actionable = fields.Boolean(metadata={"description": "a refund would prevent a dispute"})
    released_at = fields.AwareDateTime(allow_none=True)


class Release(Shape):
    reason = Text(most=500, required=True, metadata={"description": "for the audit; not mailed"})


class Released(Shape):
    booking_state = fields.String(
        metadata={"description": "confirmed; or frozen, while a dispute is open"}
    )


@blp.route("/bookings/<uuid:booking_id>/release", methods=["POST"])
@organisations_only
@blp.doc(parameters=[REQUIRED_KEY_HEADER])
@blp.arguments(Release)
@blp.response(201, Released)
def dismiss_fraud_warning(given: dict[str, str], event_id: int, booking_id: UUID) -> Response:
    """Take tickets off hold of which fraud was suspected; the other way out is a refund."""
    required_key()

    def work() -> dict[str, Any]:
        return disputes.dismiss_fraud_warning(conn, caller().scope, event_id, booking_id, **given)

    with transaction(caller().name) as conn:
        return answer_once(conn, caller().name, given, work, Released())


@blp.route("/disputes")
@organisations_only
@blp.arguments(DisputePage, location="query")
@blp.response(200, Dispute(many=True))
def list_disputes(page: dict[str, Any], event_id: int) -> Any:
    """An event's disputed payments, latest first; their bookings are frozen until decided."""
    after, limit = page["starting_after"], page["limit"]
    with autocommit() as conn:
        rows = disputes.list_disputes(conn, caller().scope, event_id, after, limit + 1)
    return page_of(rows, limit)


@blp.route("/fraud-warnings")
@organisations_only
@blp.arguments(DisputePage, location="query")
@blp.response(200, FraudWarning(many=True))
def list_warnings(page: dict[str, Any], event_id: int) -> Any:
    """Payments of which an issuer of cards suspects fraud, latest first; their bookings are frozen
    until released or refunded."""
    after, limit = page["starting_after"], page["limit"]
    with autocommit() as conn:
        rows = disputes.list_warnings(conn, caller().scope, event_id, after, limit + 1)
    return page_of(rows, limit)
