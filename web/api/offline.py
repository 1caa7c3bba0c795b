"""Offline payments: organisers record money paid at the box office or by bank transfer, and
refunds of it."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.accounts import accounts
from db.accounts.audit_log import audit
from db.bookings import bookings
from db.catalogue import events
from db.connections import Conn, transaction
from db.payments import offline, payments
from db.runtime.settings import settings
from web.api.bookings import BOOKING_CONFLICTS, Booking
from web.api.refunds import Refund, Settlement
from web.api.wishes import SeatsWish
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import BOOKING_STATE, PAYMENT_STATE, SURPLUS_DECISION
from web.support.fields import (
    Answer,
    Email,
    Line,
    Name,
    OneOf,
    QueryBoolean,
    Schema,
    StrictInteger,
    Text,
)
from web.support.pages import PageByUUID

blp = Blueprint(
    "offline", __name__, url_prefix="/v1/events/<id:event_id>", description="Money paid offline"
)

BOOKING = "/bookings/<uuid:booking_id>"


class Receipt(Schema):
    """Money that came in."""

    reference = Line(
        required=True,
        metadata={"description": "the bank's or the box office's; each pays for one booking"},
    )
    amount = StrictInteger(
        least=1, most=10**12, required=True, metadata={"description": "in minor units"}
    )
    currency = Text(least=3, most=3, required=True)


class ReceiptAnswer(Answer):
    """The payment that the money is for."""

    payment_id = fields.UUID()
    late = fields.Boolean(
        metadata={"description": "the booking had ended: the whole amount has to be refunded"}
    )


class OfflinePage(PageByUUID):
    code = Text(
        load_default=None,
        metadata={
            "description": "the reference of a transfer, however it is written: it is searched for "
            "the booking code"
        },
    )
    waiting = fields.Boolean(
        load_default=False, metadata={"description": "only bookings that are not paid"}
    )


class OfflinePayment(Answer):
    """A booking that is to be paid offline, or was."""

    id = fields.UUID(metadata={"description": "the payment's id"})
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = OneOf(BOOKING_STATE)
    state = OneOf(PAYMENT_STATE, metadata={"description": "the payment's"})
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    due_at = fields.AwareDateTime(metadata={"description": "until when it has to be paid"})
    reference = fields.String(
        allow_none=True, metadata={"description": "of the money; null: it has not come"}
    )
    received_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was marked as paid; null: not yet"}
    )
    recorded_by = fields.String(
        allow_none=True, metadata={"description": "role and id, as in organiser:3; null: not yet"}
    )


class ReceivedTransfer(Answer):
    """Money that came offline, in minor units."""

    id = fields.UUID(metadata={"description": "the transfer's id"})
    reference = fields.String(metadata={"description": "the bank's or the box office's"})
    amount = StrictInteger(metadata={"description": "that came"})
    currency = fields.String()
    surplus = StrictInteger(metadata={"description": "the part that the booking did not take"})
    decision = OneOf(
        SURPLUS_DECISION,
        allow_none=True,
        metadata={"description": "null: there is no surplus, or it waits for your decision"},
    )
    how = fields.String(
        allow_none=True,
        metadata={"description": "how it went back, or why you keep it; null: as above"},
    )
    received_at = fields.AwareDateTime(metadata={"description": "when it was recorded"})
    recorded_by = fields.String(metadata={"description": "role and id, as in organiser:3"})


class Transfer(ReceivedTransfer):
    """Money that came offline for a booking, in minor units."""

    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = OneOf(BOOKING_STATE)
    payment_id = fields.UUID()
    missing = StrictInteger(metadata={"description": "of the booking, now; 0: nothing"})
    decided_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "null: it was not decided"}
    )
    decided_by = fields.String(
        allow_none=True, metadata={"description": "role and id, as in organiser:3; null: as above"}
    )


class TransferPage(PageByUUID):
    undecided = QueryBoolean(
        load_default=False, metadata={"description": "only those whose surplus is not decided"}
    )


class Surplus(Schema):
    """What became of a surplus."""

    decision = OneOf(SURPLUS_DECISION, required=True)
    how = Line(
        most=500,
        required=True,
        metadata={"description": "how it was paid back, or why it is kept; in the mail"},
    )


class CounterBooking(SeatsWish):
    """Seats for a buyer who stands at the counter, whether the buyer has an account or not."""

    email = Email(
        required=True, metadata={"description": "the tickets go there", "format": "email"}
    )
    name = Name(required=True, metadata={"description": "an account that exists keeps its own"})


@blp.route("/counter-bookings", methods=["POST"])
@needs("counter.sell")
@blp.arguments(
    CounterBooking,
    example={
        "email": "luis@example.org",
        "name": "Luis Gil",
        "seats": ["B-1", "B-2"],
        "accept_terms": True,
    },
)
@blp.idempotent(Booking)
@blp.conflicts(*BOOKING_CONFLICTS, "pass_needed", *payments.REFUSALS)
def book_at_counter(conn: Conn, given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Book directly for a buyer, to be paid offline; then mark the booking as paid. Its tickets go
    to the buyer's address."""
    events.check_owner(conn, caller().scope, event_id)
    buyer = {name: given.pop(name) for name in ("email", "name")}
    buyer_id = accounts.find_or_add(conn, **buyer)
    asked = given | {"event_id": event_id, "buyer_id": buyer_id, "entry_id": None}
    asked |= {"by_organisation": True}
    booking_id = bookings.book_seats(conn, asked, settings().gateway_limit)
    booking = bookings.get_booking(conn, event_id, booking_id, buyer_id)
    act = {"booking_id": str(booking_id), "quantity": booking["quantity"]}
    audit(conn, "booked at the counter", event_id, act, account_id=buyer_id, personal=buyer)
    if booking["state"] == "held":  # otherwise it costs nothing
        payments.sell_offline(conn, event_id, booking_id, buyer_id)
    return bookings.get_booking(conn, event_id, booking_id, buyer_id)


@blp.route("/offline-payments")
@needs("counter.read")
@blp.paginated(OfflinePayment, OfflinePage, reads="offline payments read")
def list_offline_payments(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """Bookings that are paid offline, latest first; `code` finds one."""
    return offline.list_payments(conn, caller().scope, event_id, page)


@blp.route(f"{BOOKING}/payment/paid", methods=["POST"])
@needs("counter.sell")
@blp.arguments(
    Receipt, example={"reference": "cash desk 2, 118", "amount": 10600, "currency": "EUR"}
)
@blp.idempotent(ReceiptAnswer, 202)
@blp.conflicts(*offline.REFUSALS, "wrong_money")
def mark_booking_paid(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Mark a booking as paid; it is confirmed shortly after."""
    return offline.record_payment(conn, caller().scope, event_id, booking_id, given)


@blp.route(f"{BOOKING}/transfers", methods=["POST"])
@needs("counter.sell")
@blp.arguments(
    Receipt, example={"reference": "2040-04-02 SEPA 7731", "amount": 5000, "currency": "EUR"}
)
@blp.idempotent(Transfer)
@blp.conflicts(*offline.TRANSFER_REFUSALS)
def record_transfer(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Record money that came for a booking, whatever the amount. When all of it has come the
    booking is confirmed shortly after; before, the buyer is asked for the rest. What is more, or
    comes too late, is the transfer's surplus: the buyer is told, and you decide."""
    return offline.record_transfer(conn, caller().scope, event_id, booking_id, given)


@blp.route("/transfers")
@needs("counter.read")
@blp.paginated(Transfer, TransferPage, reads="transfers read")
def list_transfers(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """Money that came offline, latest first; with undecided=true only where you have to decide what
    becomes of a surplus."""
    return offline.list_transfers(conn, caller().scope, event_id, page)


@blp.route("/transfers/<uuid:transfer_id>/surplus", methods=["PUT"])
@needs("refunds.write")
@blp.arguments(Surplus, example={"decision": "refunded", "how": "by bank transfer on 3 May"})
@blp.response(200, Transfer)
@blp.conflicts(*offline.SURPLUS_REFUSALS, "suspended")
def decide_surplus(given: dict[str, str], event_id: int, transfer_id: UUID) -> dict[str, Any]:
    """Say what became of a transfer's surplus: you paid it back, or keep it by agreement. The buyer
    is told by mail. It cannot be changed later."""
    with transaction(caller().name) as conn:
        return offline.decide_surplus(conn, caller().scope, event_id, transfer_id, given)


@blp.route(f"{BOOKING}/refunds/<uuid:refund_id>/paid", methods=["POST"])
@needs("refunds.write")
@blp.arguments(Settlement, example={"how": "in cash, at the box office"})
@blp.response(202, Refund)
@blp.conflicts("not_offline", "not_pending", "suspended")
def mark_refund_paid(
    given: dict[str, str], event_id: int, booking_id: UUID, refund_id: UUID
) -> dict[str, Any]:
    """Record how an offline payment was refunded; the buyer is told by mail."""
    with transaction(caller().name) as conn:
        return offline.record_refund(
            conn, caller().scope, event_id, booking_id, refund_id, given["how"]
        )
