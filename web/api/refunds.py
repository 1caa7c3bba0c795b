"""Refunds, by organisers."""

from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate, validates_schema

from db.accounts.audit_log import audit
from db.connections import Conn, transaction
from db.payments import refunds
from web.api.wishes import MOST_SEATS
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import BOOKING_STATE, REFUND_CAUSE, REFUND_STATE
from web.support.fields import Answer, Line, OneOf, Schema, StrictBoolean, StrictInteger
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
    with_fees = StrictBoolean(load_default=True, metadata={"description": "the tickets' fees, too"})
    resell = StrictBoolean(
        load_default=True,
        metadata={"description": "false: the seats are blocked instead of being sold again"},
    )
    reason = Line(
        most=500, required=True, metadata={"description": "on the credit note, and in the mail"}
    )

    @validates_schema(skip_on_field_errors=True)
    def check_tickets(self, given: dict[str, Any], **_: Any) -> None:
        tickets = given["tickets"] or []
        if len(set(tickets)) < len(tickets):
            raise ValidationError("A ticket is named twice.", "tickets")


class Refund(Answer):
    """A refund. A refund that succeeded can fail later. A failed refund is owed until it is retried
    or settled in another way."""

    id = fields.UUID(metadata={"description": "the refund's id"})
    booking_id = fields.UUID()
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    state = OneOf(REFUND_STATE)
    cause = OneOf(REFUND_CAUSE)
    reason = fields.String(metadata={"description": "in the words of who asked for it"})
    requested_by = fields.String(metadata={"description": "role and id, as in organiser:3"})
    seats = fields.List(
        fields.String(), metadata={"description": "guids of the refunded tickets' seats"}
    )
    gateway_id = fields.String(
        attribute="gateway_ref",
        allow_none=True,
        metadata={"description": "its id at the gateway; null: not sent yet, or paid offline"},
    )
    failure_code = fields.String(
        allow_none=True, metadata={"description": "the gateway's; null: it has not failed"}
    )
    failure_message = fields.String(
        allow_none=True, metadata={"description": "the gateway's; null: it has not failed"}
    )
    owed = fields.Boolean(metadata={"description": "it failed, and the buyer waits for the money"})
    retried_by = fields.UUID(
        allow_none=True, metadata={"description": "the refund that replaces it; null: none"}
    )
    settled_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was paid otherwise; null: it was not"}
    )
    settlement = fields.String(
        allow_none=True, metadata={"description": "how it was paid otherwise; null: it was not"}
    )
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()


class RefundAnswer(Answer):
    """A refund that is on its way."""

    refund = fields.Nested(Refund, allow_none=True, metadata={"description": "null: free tickets"})
    booking_state = OneOf(BOOKING_STATE)
    returned = fields.List(fields.UUID(), metadata={"description": "tickets that are void now"})


class Settlement(Schema):
    """How the money was paid back."""

    how = Line(most=500, required=True, metadata={"description": "for example: by bank transfer"})


class RefundPage(PageByUUID):
    owed = fields.Boolean(
        load_default=False, metadata={"description": "only failed refunds that are still owed"}
    )


class BookingBalance(Answer):
    """The captured money of a booking and its refunds, in minor units."""

    booking_state = OneOf(BOOKING_STATE)
    currency = fields.String()
    captured = StrictInteger(metadata={"description": "what was paid"})
    refunded = StrictInteger(metadata={"description": "succeeded or pending"})
    available = StrictInteger(metadata={"description": "that can still be refunded"})
    owed = StrictInteger(metadata={"description": "refunds that failed"})
    refunds = fields.List(fields.Nested(Refund), metadata={"description": "latest first"})


@blp.route(f"{BOOKING}/refunds", methods=["POST"])
@needs("refunds.write")
@blp.arguments(NewRefund, example={"reason": "The buyer is ill", "with_fees": True, "resell": True})
@blp.idempotent(RefundAnswer)
@blp.conflicts("disputed", "more_than_captured", "not_confirmed", "suspended")
def request_refund(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Refund tickets, or an amount alone; never more than was paid."""
    return refunds.request_refund(conn, caller().scope, event_id, booking_id, given)


@blp.route(f"{BOOKING}/refunds")
@needs("refunds.read")
@blp.response(200, BookingBalance)
def list_refunds(event_id: int, booking_id: UUID) -> dict[str, Any]:
    """A booking's refunds, latest first, and its balance."""
    with transaction(caller().name) as conn:
        found = refunds.list_refunds(conn, caller().scope, event_id, booking_id)
        audit(conn, "refunds read", event_id, {"booking_id": str(booking_id)})
        return found


@blp.route("/refunds")
@needs("refunds.read")
@blp.paginated(Refund, RefundPage, reads="refunds read")
def list_event_refunds(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """An event's refunds, latest first; with owed=true only those that buyers are still owed."""
    return refunds.list_event_refunds(conn, caller().scope, event_id, **page)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/retry", methods=["POST"])
@needs("refunds.write")
@blp.idempotent(Refund)
@blp.conflicts("more_than_captured", "not_owed", "suspended")
def retry_refund(conn: Conn, event_id: int, booking_id: UUID, refund_id: UUID) -> dict[str, Any]:
    """Try a failed refund again, as a new refund."""
    return refunds.settle_owed(conn, caller().scope, event_id, booking_id, refund_id, None)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/settlement", methods=["PUT"])
@needs("refunds.write")
@blp.arguments(Settlement, example={"how": "by bank transfer on 3 May"})
@blp.response(200, Refund)
@blp.conflicts("more_than_captured", "not_owed", "suspended")
def settle_refund(
    given: dict[str, str], event_id: int, booking_id: UUID, refund_id: UUID
) -> dict[str, Any]:
    """Record how a failed refund was paid in another way, so that it is no longer owed."""
    with transaction(caller().name) as conn:
        return refunds.settle_owed(
            conn, caller().scope, event_id, booking_id, refund_id, given["how"]
        )
