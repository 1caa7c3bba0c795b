"""Refunds, by organisers."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate, validates_schema

from db.connections import Conn, autocommit, transaction
from db.payments import refunds
from web.api.wishes import MOST_SEATS
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Schema, StrictBoolean, StrictInteger, Text
from web.support.pages import PageByUUID

blp = Blueprint(
    "refunds", __name__, url_prefix="/v1/events/<id:event_id>", description="Money that goes back"
)

BOOKING = "/bookings/<uuid:booking_id>"


class NewRefund(Schema):
    """For tickets, which are void from then on: those named, or all. Or an amount alone."""

    tickets = fields.List(
        fields.UUID(),
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=MOST_SEATS),
        metadata={"description": "ids; if neither tickets nor amount are given, all"},
    )
    amount = StrictInteger(
        least=1,
        most=10**12,
        load_default=None,
        allow_none=True,
        metadata={"description": "in minor units; if not given, what the tickets cost"},
    )
    with_fees = StrictBoolean(load_default=True)
    resell = StrictBoolean(
        load_default=True,
        metadata={"description": "false: the seats are blocked instead of going back on sale"},
    )
    reason = Text(most=500, required=True)

    @validates_schema(skip_on_field_errors=True)
    def check_tickets(self, given: dict[str, Any], **_: Any) -> None:
        tickets = given["tickets"] or []
        if len(set(tickets)) < len(tickets):
            raise ValidationError("A ticket is there twice.", "tickets")


class Refund(Schema):
    """A success can later fail; what failed is owed until it is tried anew or paid otherwise."""

    id = fields.UUID()
    booking_id = fields.UUID()
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    state = fields.String(metadata={"description": "pending, succeeded or failed"})
    cause = fields.String(
        metadata={
            "description": "asked, event_cancelled, odd_money, or dashboard: made at the gateway"
        }
    )
    reason = fields.String()
    requested_by = fields.String()
    seats = fields.List(fields.String(), metadata={"description": "guids of those returned"})
    gateway_id = fields.String(attribute="gateway_ref", allow_none=True)
    failure_code = fields.String(allow_none=True)
    failure_message = fields.String(allow_none=True)
    owed = fields.Boolean()
    retried_by = fields.UUID(allow_none=True)
    settled_at = fields.AwareDateTime(allow_none=True)
    settlement = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()


class RefundAnswer(Schema):
    refund = fields.Nested(Refund, allow_none=True, metadata={"description": "null: of nothing"})
    booking_state = fields.String()
    returned = fields.List(fields.UUID(), metadata={"description": "tickets that are void now"})


class Settlement(Schema):
    how = Text(most=500, required=True, metadata={"description": "for example: by bank transfer"})


class RefundPage(PageByUUID):
    owed = fields.Boolean(
        load_default=False, metadata={"description": "only those that failed and are still owed"}
    )


class BookingBalance(Schema):
    """What was taken for a booking, and what became of it, in minor units."""

    booking_state = fields.String()
    currency = fields.String()
    captured = StrictInteger()
    refunded = StrictInteger(metadata={"description": "given back, or on the way"})
    available = StrictInteger(metadata={"description": "that could still be given back"})
    owed = StrictInteger(metadata={"description": "refunds that failed"})
    refunds = fields.List(fields.Nested(Refund))


@blp.route(f"{BOOKING}/refunds", methods=["POST"])
@organisations_only
@blp.arguments(NewRefund)
@blp.idempotent(RefundAnswer)
def request_refund(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Give money back for tickets, or an amount alone; never more than was paid."""
    return refunds.request_refund(conn, caller().scope, event_id, booking_id, given)


@blp.route(f"{BOOKING}/refunds")
@organisations_only
@blp.response(200, BookingBalance)
def list_refunds(event_id: int, booking_id: UUID) -> dict[str, Any]:
    """A booking's refunds, latest first, and what was paid for it."""
    with autocommit() as conn:
        return refunds.list_refunds(conn, caller().scope, event_id, booking_id)


@blp.route("/refunds")
@organisations_only
@blp.paginated(Refund, RefundPage)
def list_event_refunds(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's refunds, latest first; with owed=true the money that buyers still have to get."""
    return refunds.list_event_refunds(conn, caller().scope, event_id, **page)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/retry", methods=["POST"])
@organisations_only
@blp.idempotent(Refund)
def retry_refund(conn: Conn, event_id: int, booking_id: UUID, refund_id: UUID) -> dict[str, Any]:
    """Try a refund that failed anew, as another refund."""
    return refunds.settle_owed(conn, caller().scope, event_id, booking_id, refund_id, None)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/settlement", methods=["PUT"])
@organisations_only
@blp.arguments(Settlement)
@blp.response(200, Refund)
def settle_refund(
    given: dict[str, str], event_id: int, booking_id: UUID, refund_id: UUID
) -> dict[str, Any]:
    """Say how a refund that failed was paid otherwise: nothing is owed any more."""
    with transaction(caller().name) as conn:
        return refunds.settle_owed(
            conn, caller().scope, event_id, booking_id, refund_id, given["how"]
        )
