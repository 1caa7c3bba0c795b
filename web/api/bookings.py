"""Bookings: book, read, pay, cancel."""

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import ValidationError, fields, validate, validates_schema

from db.bookings import bookings
from db.connections import Conn, autocommit
from db.payments import payments, return_urls
from db.presentation.gateway_words import FAILURES
from db.runtime.settings import settings
from web.api.wishes import SeatsWish
from web.pages.payment_result import result_url
from web.queue.tokens import read_pass
from web.support.auth import buyer, buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.client_address import client_hash
from web.support.fields import METHODS, ROW_LABEL, ReturnUrl, Schema, StrictInteger, Text
from web.support.pages import PageByUUID
from web.support.transactions import retried

blp = Blueprint("bookings", __name__, url_prefix="/v1", description="Bookings and payment")

BOOKING = "/events/<id:event_id>/bookings/<uuid:booking_id>"


class Item(Schema):
    guid = fields.String()
    zone = fields.String()
    row = fields.String()
    row_label = fields.String(metadata=ROW_LABEL)
    number = fields.String()
    category = StrictInteger()
    price = StrictInteger()
    fee = StrictInteger()
    tax_rate = fields.Float()
    tax = StrictInteger(metadata={"description": "contained in price and fee"})
    returned = fields.Boolean(metadata={"description": "the ticket was refunded"})


class TaxPart(Schema):
    rate = fields.Float(metadata={"description": "0.19: of 119, 19 are tax"})
    net = fields.Integer()
    tax = fields.Integer()
    total = fields.Integer(metadata={"description": "net + tax"})


class Breakdown(Schema):
    """The parts of a total by tax rate, in the currency's smallest unit."""

    net = fields.Integer()
    tax = fields.Integer()
    total = fields.Integer(metadata={"description": "net + tax"})
    taxes = fields.List(fields.Nested(TaxPart))


class BookingBreakdown(Breakdown):
    fees = StrictInteger(
        metadata={"description": "contained in the total: fees of the tickets and of the booking"}
    )
    booking_fee = StrictInteger(metadata={"description": "of the booking alone"})


class Failure(Schema):
    """Why a payment failed, in our words and not in the gateway's."""

    code = fields.String(
        validate=validate.OneOf(list(FAILURES)), metadata={"description": "the kind of failure"}
    )
    message = fields.String(metadata={"description": "for the buyer"})


class Payment(Schema):
    id = fields.UUID()
    method = fields.String()
    state = fields.String()
    next_action = fields.Raw(
        allow_none=True,
        metadata={"description": "the gateway's; offline: pay_offline with reference and due_at"},
    )
    client_secret = fields.String(allow_none=True)
    failure = fields.Nested(Failure, allow_none=True)


class MoneyBack(Schema):
    id = fields.UUID()
    amount = StrictInteger()
    currency = fields.String()
    state = fields.String(metadata={"description": "pending, succeeded or failed"})
    created_at = fields.String()


class BookingSummary(Schema):
    id = fields.UUID()
    code = fields.String()
    state = fields.String()
    deadline = fields.AwareDateTime()
    quantity = StrictInteger()
    currency = fields.String()
    total = StrictInteger(metadata={"description": "in minor units"})
    created_at = fields.AwareDateTime()


class Booking(BookingSummary):
    seconds_left = fields.Float(
        allow_none=True, metadata={"description": "to pay; null: paid or ended"}
    )
    checked_by = fields.AwareDateTime(
        allow_none=True, metadata={"description": "the time limit of the payment's review"}
    )
    items = fields.List(fields.Nested(Item))
    breakdown = fields.Nested(BookingBreakdown)
    payment = fields.Nested(Payment, allow_none=True)
    refunds = fields.List(fields.Nested(MoneyBack))
    being_checked = fields.Boolean(
        metadata={"description": "the payment is in doubt: operators are told, the seats are kept"}
    )
    reason = fields.String(allow_none=True)
    give_back_until = fields.AwareDateTime(
        allow_none=True,
        metadata={
            "description": "the event was postponed: POST …/give-back until then; null: it was not"
        },
    )
    confirmed_at = fields.AwareDateTime(allow_none=True)


class MyBooking(BookingSummary):
    event_id = StrictInteger()
    event = fields.String()
    starts_at = fields.AwareDateTime()
    time_zone = fields.String(metadata={"description": "the event's"})
    archived = fields.Boolean(
        metadata={"description": "the event ended long ago: only this line can still be read"}
    )


class NewPayment(Schema):
    method = fields.String(
        load_default="card",
        validate=validate.OneOf([*METHODS, "offline"]),
        metadata={"description": "one of the event's payment_methods, or offline"},
    )
    payment_method = Text(
        load_default=None,
        validate=validate.Regexp(r"pm_[A-Za-z0-9_]{1,250}\Z", error="Must look like pm_…"),
        metadata={"description": "the card or account, from the gateway; not for paying offline"},
    )

    return_url = ReturnUrl(
        load_default=None,
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


class StartedPayment(Schema):
    id = fields.UUID()
    state = fields.String()


class PaymentAnswer(Schema):
    payment = fields.Nested(StartedPayment)
    state = fields.String(metadata={"description": "the booking's"})


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
@blp.arguments(NewBooking)
@blp.idempotent(Booking)
def book(conn: Conn, given: dict[str, Any], event_id: int) -> dict[str, Any]:
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
    with autocommit() as conn:
        return bookings.get_booking(conn, event_id, booking_id, buyer_id())


@blp.route(BOOKING, methods=["DELETE"])
@buyers_only
@blp.response(204)
@blp.alt_response(202, description="It is being paid: the payment is stopped first", success=True)
def cancel_booking(event_id: int, booking_id: UUID) -> Response:
    """Cancel a booking that is not paid."""
    state = retried(
        lambda conn: bookings.cancel_booking(conn, event_id, booking_id, buyer_id()), buyer()
    )
    return Response(status=204 if state == "cancelled" else 202)


@blp.route(f"{BOOKING}/payment", methods=["POST"])
@buyers_only
@blp.arguments(NewPayment)
@blp.idempotent(PaymentAnswer, 202)
def pay(conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Begin to pay for a held booking. Then poll the booking: with 3-D Secure, and offline, its
    payment has a next_action."""
    if given["return_url"]:
        return_urls.check_return_url(conn, event_id, given["return_url"])
    back = given["return_url"] or result_url(event_id, booking_id)
    asked = given | {"return_url": back, "address_hash": client_hash()}
    started = payments.start_payment(conn, event_id, booking_id, buyer_id(), **asked)
    state = "requires_action" if given["method"] == "offline" else "intended"
    payment = {"id": started["payment_id"], "state": state}
    return {"payment": payment, "state": started["booking_state"]}
