"""Refunds, by organisers."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate, validates_schema

from db.connections import Conn, autocommit, transaction
from db.payments import refunds
from web.api.wishes import MOST_SEATS
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Line, Schema, StrictBoolean, StrictInteger
from web.support.pages import PageByUUID

blp = Blueprint("refunds", __name__, url_prefix="/v1/events/<id:event_id>", description="Refunds")

BOOKING = "/bookings/<uuid:booking_id>"


class NewRefund(Schema):
    """A refund of named tickets or of all, which become void; or of an amount alone."""

    tickets = fields.List(
        fields.UUID(),
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1, max=MOST_SEATS),
        metadata={"description": "ids; without tickets and amount, all tickets"},
    )
    amount = StrictInteger(
        least=1,
        most=10**12,
        load_default=None,
        allow_none=True,
        metadata={"description": "in minor units; default: the price of the tickets"},
    )
    with_fees = StrictBoolean(load_default=True)
    resell = StrictBoolean(
        load_default=True,
        metadata={"description": "false: the seats are blocked instead of being sold again"},
    )
    reason = Line(most=500, required=True)

    @validates_schema(skip_on_field_errors=True)
    def check_tickets(self, given: dict[str, Any], **_: Any) -> None:
        tickets = given["tickets"] or []
        if len(set(tickets)) < len(tickets):
            raise ValidationError("A ticket is named twice.", "tickets")


class Refund(Schema):
    """A refund. A refund that succeeded can fail later. A failed refund is owed until it is retried
    or settled in another way."""

    id = fields.UUID()
    booking_id = fields.UUID()
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    state = fields.String(metadata={"description": "pending, succeeded or failed"})
    cause = fields.String(
        metadata={
            "description": "asked, event_cancelled, given_back (by the buyer, since the event was "
            "postponed), odd_money, or dashboard: made at the gateway"
        }
    )
    reason = fields.String()
    requested_by = fields.String()
    seats = fields.List(
        fields.String(), metadata={"description": "guids of the refunded tickets' seats"}
    )
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
    refund = fields.Nested(Refund, allow_none=True, metadata={"description": "null: free tickets"})
    booking_state = fields.String()
    returned = fields.List(fields.UUID(), metadata={"description": "tickets that are void now"})


class Settlement(Schema):
    how = Line(most=500, required=True, metadata={"description": "for example: by bank transfer"})


class RefundPage(PageByUUID):
    owed = fields.Boolean(
        load_default=False, metadata={"description": "only failed refunds that are still owed"}
    )


class BookingBalance(Schema):
    """The captured money of a booking and its refunds, in minor units."""

    booking_state = fields.String()
    currency = fields.String()
    captured = StrictInteger()
    refunded = StrictInteger(metadata={"description": "succeeded or pending"})
    available = StrictInteger(metadata={"description": "that can still be refunded"})
    owed = StrictInteger(metadata={"description": "refunds that failed"})
    refunds = fields.List(fields.Nested(Refund))


@blp.route(f"{BOOKING}/refunds", methods=["POST"])
@organisations_only
@blp.arguments(NewRefund)
@blp.idempotent(RefundAnswer)
def request_refund(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Refund tickets, or an amount alone; never more than was paid."""
    return refunds.request_refund(conn, caller().scope, event_id, booking_id, given)


@blp.route(f"{BOOKING}/refunds")
@organisations_only
@blp.response(200, BookingBalance)
def list_refunds(event_id: int, booking_id: UUID) -> dict[str, Any]:
    """A booking's refunds, latest first, and its balance."""
    with autocommit() as conn:
        return refunds.list_refunds(conn, caller().scope, event_id, booking_id)


@blp.route("/refunds")
@organisations_only
@blp.paginated(Refund, RefundPage)
def list_event_refunds(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's refunds, latest first; with owed=true only those that buyers are still owed."""
    return refunds.list_event_refunds(conn, caller().scope, event_id, **page)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/retry", methods=["POST"])
@organisations_only
@blp.idempotent(Refund)
def retry_refund(conn: Conn, event_id: int, booking_id: UUID, refund_id: UUID) -> dict[str, Any]:
    """Try a failed refund again, as a new refund."""
    return refunds.settle_owed(conn, caller().scope, event_id, booking_id, refund_id, None)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/settlement", methods=["PUT"])
@organisations_only
@blp.arguments(Settlement)
@blp.response(200, Refund)
def settle_refund(
    given: dict[str, str], event_id: int, booking_id: UUID, refund_id: UUID
) -> dict[str, Any]:
    """Record how a failed refund was paid in another way, so that it is no longer owed."""
    with transaction(caller().name) as conn:
        return refunds.settle_owed(
            conn, caller().scope, event_id, booking_id, refund_id, given["how"]
        )
