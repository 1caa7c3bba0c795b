"""Money paid at the box office, or by bank transfer: organisers say what came, and went back."""

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import fields

from db.connections import autocommit, transaction
from db.payments import offline
from web.api.refunds import Refund, Settlement
from web.support.auth import caller, organisations_only
from web.support.blueprint import MAX_LIMIT, Blueprint, page_of
from web.support.fields import Digits, Shape, Text, Whole
from web.support.idempotency import REQUIRED_KEY_HEADER, answer_once, required_key

blp = Blueprint(
    "offline", __name__, url_prefix="/v1/events/<id:event_id>", description="Money paid offline"
)

BOOKING = "/bookings/<uuid:booking_id>"


class Receipt(Shape):
    reference = Text(
        required=True,
        metadata={"description": "of the bank, or the box office; each pays for one booking"},
    )
    amount = Whole(least=1, most=10**12, required=True, metadata={"description": "in minor units"})
    currency = Text(least=3, most=3, required=True)


class ReceiptAnswer(Shape):
    payment_id = fields.UUID()
    late = fields.Boolean(
        metadata={"description": "the booking had ended: all of it has to be given back"}
    )


class OfflinePage(Shape):
    code = Text(load_default=None, metadata={"description": "the booking's, as the buyer gave it"})
    waiting = fields.Boolean(load_default=False, metadata={"description": "only those not paid"})
    starting_after = fields.UUID(load_default=None)
    limit = Digits(least=1, most=MAX_LIMIT, load_default=20)


class OfflinePayment(Shape):
    id = fields.UUID()
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = fields.String()
    state = fields.String()
    amount = Whole(metadata={"description": "in minor units"})
    currency = fields.String()
    due_at = fields.AwareDateTime()
    reference = fields.String(allow_none=True)
    received_at = fields.AwareDateTime(allow_none=True)
    recorded_by = fields.String(allow_none=True)


@blp.route("/offline-payments")
@organisations_only
@blp.arguments(OfflinePage, location="query")
@blp.response(200, OfflinePayment(many=True))
def list_payments(page: dict[str, Any], event_id: int) -> Any:
    """Bookings that are paid offline, latest first; find one by its code."""
    limit = page["limit"]
    with autocommit() as conn:
        wanted = page | {"limit": limit + 1}
        rows = offline.list_payments(conn, caller().scope, event_id, wanted)
    query = {"code": page["code"]} if page["code"] else {}
    return page_of(rows, limit, **query, **({"waiting": "true"} if page["waiting"] else {}))


@blp.route(f"{BOOKING}/payment/paid", methods=["POST"])
@organisations_only
@blp.doc(parameters=[REQUIRED_KEY_HEADER])
@blp.arguments(Receipt)
@blp.response(202, ReceiptAnswer)
def mark_paid(given: dict[str, Any], event_id: int, booking_id: UUID) -> Response:
    """Mark a booking as paid; it is confirmed within a moment."""
    required_key()

    def work() -> dict[str, Any]:
        return offline.record_payment(conn, caller().scope, event_id, booking_id, given)

    with transaction(caller().name) as conn:
        return answer_once(conn, caller().name, given, work, ReceiptAnswer(), 202)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/paid", methods=["POST"])
@organisations_only
@blp.arguments(Settlement)
@blp.response(202, Refund)
def mark_refunded(
    given: dict[str, str], event_id: int, booking_id: UUID, refund_id: UUID
) -> dict[str, Any]:
    """Say how a refund of money paid offline was given back; the buyer is told."""
    with transaction(caller().name) as conn:
        return offline.record_refund(
            conn, caller().scope, event_id, booking_id, refund_id, given["how"]
        )
