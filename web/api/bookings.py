"""Bookings: book, read, pay, cancel."""

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import ValidationError, fields, validate, validates_schema

from db.bookings import bookings
from db.connections import Conn, own_connection
from db.payments import payments, return_urls
from db.runtime.settings import settings
from web.api.wishes import SeatsWish
from web.pages.payment_result import result_url
from web.queue.tokens import read_pass
from web.support.auth import buyer, buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.client_address import client_hash
from web.support.dumping import compile_dump
from web.support.enumerations import (
    ANY_METHOD,
    BOOKING_STATE,
    FAILURE,
    PAYMENT_STATE,
    REFUND_STATE,
)
from web.support.fields import Answer, OneOf, ReturnUrl, Schema, StrictInteger, Text
from web.support.pages import PageByUUID
from web.support.transactions import retried

blp = Blueprint("bookings", __name__, url_prefix="/v1", description="Bookings and payment")

BOOKING = "/events/<id:event_id>/bookings/<uuid:booking_id>"


class Item(Answer):
    """A seat of a booking, with its price in minor units."""

    guid = fields.String()
    zone = fields.String()
    row = fields.String()
    row_label = fields.String()
    number = fields.String()
    category = StrictInteger(metadata={"description": "the number of the price's category"})
    price_type = StrictInteger()
    area = StrictInteger()
    price = StrictInteger(metadata={"description": "tax included, without the fee"})
    fee = StrictInteger(metadata={"description": "of the ticket, tax included"})
    tax_rate = fields.Float(metadata={"description": "0.19: of 119, 19 are tax"})
    tax = StrictInteger(metadata={"description": "contained in price and fee"})
    returned = fields.Boolean(metadata={"description": "the ticket was refunded"})


class TaxPart(Answer):
    """The part of a total with one tax rate, in minor units."""

    rate = fields.Float(metadata={"description": "0.19: of 119, 19 are tax"})
    net = fields.Integer(metadata={"description": "without the tax"})
    tax = fields.Integer(metadata={"description": "of the net amount"})
    total = fields.Integer(metadata={"description": "net + tax"})


class Breakdown(Answer):
    """The parts of a total by tax rate, in the currency's smallest unit."""

    net = fields.Integer(metadata={"description": "without the tax"})
    tax = fields.Integer(metadata={"description": "of all rates"})
    total = fields.Integer(metadata={"description": "net + tax"})
    taxes = fields.List(
        fields.Nested(TaxPart), metadata={"description": "by rate, the least first"}
    )


class BookingBreakdown(Breakdown):
    """The parts of a booking's total, in minor units."""

    fees = StrictInteger(
        metadata={"description": "contained in the total: fees of the tickets and of the booking"}
    )
    booking_fee = StrictInteger(metadata={"description": "of the booking alone"})


class Failure(Answer):
    """Why a payment failed, in our words and not in the gateway's."""

    code = OneOf(FAILURE, metadata={"description": "the kind of failure"})
    message = fields.String(metadata={"description": "for the buyer"})


class Payment(Answer):
    """An attempt to pay."""

    id = fields.UUID(metadata={"description": "the attempt's id"})
    method = OneOf(ANY_METHOD)
    state = OneOf(PAYMENT_STATE)
    next_action = fields.Dict(
        allow_none=True,
        metadata={
            "description": "what the buyer has to do: the gateway's next_action, for its browser "
            "library; offline: {type: pay_offline, pay_offline: {reference, amount, currency, "
            "due_at, instructions}}; null: nothing"
        },
    )
    client_secret = fields.String(
        allow_none=True,
        metadata={"description": "for the gateway's browser library; null: not needed"},
    )
    failure = fields.Nested(
        Failure, allow_none=True, metadata={"description": "null: it has not failed"}
    )


class MoneyBack(Answer):
    """A refund, as its buyer sees it."""

    id = fields.UUID(metadata={"description": "the refund's id"})
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    state = OneOf(REFUND_STATE)
    created_at = fields.String(metadata={"format": "date-time"})


class BookingSummary(Answer):
    """A booking, in short."""

    id = fields.UUID(metadata={"description": "the booking's id"})
    code = fields.String(metadata={"description": "as buyers quote it, of 8 letters and digits"})
    state = OneOf(BOOKING_STATE)
    deadline = fields.AwareDateTime(metadata={"description": "until when it has to be paid"})
    quantity = StrictInteger(metadata={"description": "how many seats"})
    currency = fields.String()
    total = StrictInteger(metadata={"description": "in minor units"})
    created_at = fields.AwareDateTime()


class Booking(BookingSummary):
    """A booking with its seats, its latest attempt to pay, and its refunds."""

    seconds_left = fields.Float(
        allow_none=True, metadata={"description": "to pay; null: paid or ended"}
    )
    checked_by = fields.AwareDateTime(
        allow_none=True,
        metadata={"description": "the time limit of the payment's review; null: not in review"},
    )
    items = fields.List(fields.Nested(Item), metadata={"description": "its seats"})
    breakdown = fields.Nested(BookingBreakdown)
    payment = fields.Nested(
        Payment,
        allow_none=True,
        metadata={"description": "the latest attempt; null: none, or it is free"},
    )
    refunds = fields.List(fields.Nested(MoneyBack), metadata={"description": "the first one first"})
    being_checked = fields.Boolean(
        metadata={"description": "the payment is in doubt: operators are told, the seats are kept"}
    )
    reason = fields.String(
        allow_none=True,
        metadata={
            "description": "why it ended: buyer, deadline, event_cancelled, given_back, "
            "review_rejected, … or the organisation's words; null: it did not"
        },
    )
    give_back_until = fields.AwareDateTime(
        allow_none=True,
        metadata={
            "description": "the event was postponed: POST …/give-back until then; null: it was not"
        },
    )
    confirmed_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when its tickets were issued; null: not yet"}
    )


dump_booking = compile_dump(Booking())


class MyBooking(BookingSummary):
    """A booking in the list of its buyer."""

    event_id = StrictInteger()
    event = fields.String(metadata={"description": "the event's name"})
    starts_at = fields.AwareDateTime()
    time_zone = fields.String(metadata={"description": "the event's"})
    archived = fields.Boolean(
        metadata={"description": "the event ended long ago: only this line can still be read"}
    )


class NewPayment(Schema):
    """An attempt to pay."""

    method = OneOf(
        ANY_METHOD,
        load_default="card",
        metadata={"description": "one of the event's payment_methods, or offline"},
    )
    payment_method = Text(
        load_default=None,
        validate=validate.Regexp(r"^pm_[A-Za-z0-9_]{1,250}$", error="Must look like pm_…"),
        metadata={"description": "the card or account, from the gateway; not for paying offline"},
    )

    return_url = ReturnUrl(
        allow_none=True,
        metadata={
            "description": "where the bank sends the buyer back to, below one of the "
            "organisation's return_urls; by default a page of Usher that says how it went"
        },
    )

    @validates_schema(skip_on_field_errors=True)
    def check_payment_method(self, given: dict[str, Any], **_: Any) -> None:
        if (given["method"] == "offline") != (given["payment_method"] is None):
            raise ValidationError("Needed for all methods but offline.", "payment_method")


class StartedPayment(Answer):
    """An attempt to pay that has begun."""

    id = fields.UUID(metadata={"description": "the attempt's id"})
    state = OneOf(PAYMENT_STATE)


class PaymentAnswer(Answer):
    """The booking is being paid."""

    payment = fields.Nested(StartedPayment)
    state = OneOf(BOOKING_STATE, metadata={"description": "the booking's"})


BOOKING_CONFLICTS = (
    "already_waiting",
    "full",
    "no_accessible_seats",
    "not_together",
    "paused",
    "plan_moved",
    "price_changed",
    "queue",
    "sale_not_open",
    "sale_over",
    "seats_taken",
    "sold_out",
    "unpaid_holds",
)


class NewBooking(SeatsWish):
    """The best available seats (quantity …), or named seats."""

    queue_pass = Text(
        data_key="pass",
        most=1000,
        load_default=None,
        allow_none=True,
        metadata={"description": "needed for a gated event: from POST …/queue/{entry}/pass"},
    )


@blp.route("/events/<id:event_id>/bookings", methods=["POST"])
@buyers_only
@blp.arguments(NewBooking, example={"quantity": 2, "category": 1, "accept_terms": True})
@blp.idempotent(Booking)
@blp.conflicts(*BOOKING_CONFLICTS, "pass_needed", "pass_over")
def book_seats(conn: Conn, given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Book directly: with a pass, or without one if the event is not gated and no entry waits."""
    token = given.pop("queue_pass")
    entry_id = read_pass(token, event_id, buyer_id()) if token else None
    asked = given | {"event_id": event_id, "buyer_id": buyer_id(), "entry_id": entry_id}
    booking_id = bookings.book_seats(conn, asked, settings().gateway_limit)
    return bookings.get_booking(conn, event_id, booking_id, buyer_id())


@blp.route("/me/bookings")
@buyers_only
@blp.paginated(MyBooking, PageByUUID)
def list_bookings(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Your bookings, latest first."""
    return bookings.list_bookings(conn, buyer_id(), **page)


@blp.route(BOOKING)
@buyers_only
@blp.response(200, Booking)
def get_booking(event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Your booking, with its seats and its payment's state."""
    return look_up_booking(event_id, booking_id, buyer_id())


def look_up_booking(event_id: int, booking_id: UUID, buyer_id: int) -> dict[str, Any]:
    """A buyer's own booking. Errors: NotFound."""
    with own_connection() as conn:
        return bookings.get_booking(conn, event_id, booking_id, buyer_id)


@blp.route(BOOKING, methods=["DELETE"])
@buyers_only
@blp.response(204)
@blp.alt_response(202, description="It is being paid: the payment is stopped first", success=True)
@blp.conflicts("not_cancellable")
def cancel_booking(event_id: int, booking_id: UUID) -> Response:
    """Cancel a booking that is not paid."""
    state = retried(
        lambda conn: bookings.cancel_booking(conn, event_id, booking_id, buyer_id()), buyer()
    )
    return Response(status=204 if state == "cancelled" else 202)


@blp.route(f"{BOOKING}/payment", methods=["POST"])
@buyers_only
@blp.arguments(NewPayment, example={"method": "card", "payment_method": "pm_card_visa"})
@blp.idempotent(PaymentAnswer, 202)
@blp.conflicts(*payments.REFUSALS, "address_not_verified")
def pay_booking(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Begin to pay for a held booking. Then poll the booking: with 3-D Secure, and offline, its
    payment has a next_action."""
    wanted = given.get("return_url")
    if wanted:
        return_urls.check_return_url(conn, event_id, wanted)
    back = wanted or result_url(event_id, booking_id)
    asked = given | {"return_url": back, "address_hash": client_hash()}
    started = payments.start_payment(conn, event_id, booking_id, buyer_id(), **asked)
    state = "requires_action" if given["method"] == "offline" else "intended"
    payment = {"id": started["payment_id"], "state": state}
    return {"payment": payment, "state": started["booking_state"]}
