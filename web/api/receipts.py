"""Receipts, credit notes and reversals: for buyers, and for the organisation that issued them."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.connections import Conn, autocommit
from db.payments import receipts
from db.runtime.errors import InvalidRequest
from web.api.bookings import BOOKING, Breakdown
from web.support.auth import buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import RECEIPT_KIND, RECEIPT_LINE
from web.support.fields import Answer, OneOf, QueryInteger, StrictInteger
from web.support.pages import Page

blp = Blueprint("receipts", __name__, url_prefix="/v1", description="Receipts, without gaps")


OF_TICKET = {"optional": True}
"""The line of a booking's fee has no seat."""
OLDER = {"optional": True}
"""Documents stay as they were issued: those from before have none."""


class Line(Answer):
    """A line of a document, in minor units. Lines of a credit note have a total alone."""

    what = OneOf(
        RECEIPT_LINE, metadata={"description": "a line without it is a ticket", "optional": True}
    )
    zone = fields.String(metadata=OF_TICKET)
    row = fields.String(metadata=OF_TICKET)
    row_label = fields.String(metadata=OF_TICKET)
    number = fields.String(metadata=OF_TICKET)
    category = fields.String(metadata=OF_TICKET | {"description": "the category's name"})
    price_type = StrictInteger(metadata=OLDER)
    area = StrictInteger(metadata=OLDER)
    price = fields.Integer(
        metadata={"description": "tax included, without the fee", "optional": True}
    )
    fee = fields.Integer(metadata={"description": "tax included", "optional": True})
    tax_rate = fields.Float(metadata={"description": "0.19: of 119, 19 are tax", "optional": True})
    tax = fields.Integer(metadata={"description": "contained in price and fee", "optional": True})
    total = fields.Integer(metadata={"description": "price and fee"})


class IssuedReceipt(Breakdown):
    """A document as it was issued. Amounts of a credit note are negative; a reversal takes a credit
    note back. Refunds of the booking's fee, or of an amount alone, have no line in a credit note.
    """

    number = StrictInteger(metadata={"description": "1, 2, 3 … of this organisation"})
    kind = OneOf(RECEIPT_KIND)
    corrects = StrictInteger(
        allow_none=True,
        metadata={"description": "the number of the corrected document; null: of a receipt"},
    )
    seller = fields.String(metadata={"description": "the organisation's name"})
    seller_address = fields.String(
        metadata={"description": "in lines; empty: not set then", "optional": True}
    )
    seller_vat_id = fields.String(metadata={"description": "empty: not set then", "optional": True})
    issued_at = fields.AwareDateTime(metadata={"description": "when it was issued"})
    event_id = StrictInteger()
    event = fields.String(metadata={"description": "the event's name"})
    venue = fields.String(metadata={"description": "the venue's name"})
    starts_at = fields.String(metadata={"format": "date-time"})
    time_zone = fields.String()
    booking_id = fields.UUID()
    booking = fields.String(metadata={"description": "its code"})
    refund_id = fields.UUID(allow_none=True, metadata={"description": "null: of a receipt"})
    reason = fields.String(metadata={"description": "of a refund", "optional": True})
    currency = fields.String()
    lines = fields.List(fields.Nested(Line), metadata={"description": "in the plan's order"})
    fees = StrictInteger(
        metadata={"description": "of a receipt, contained in its total", "optional": True}
    )
    booking_fee = StrictInteger(
        metadata={"description": "of a receipt, contained in fees", "optional": True}
    )


class ReceiptsPage(Page):
    organisation_id = QueryInteger(
        least=1, load_default=None, metadata={"description": "required for operators"}
    )
    event_id = QueryInteger(
        least=1, load_default=None, metadata={"description": "only documents of this event"}
    )


@blp.route(f"{BOOKING}/receipts")
@buyers_only
@blp.response(200, IssuedReceipt(many=True))
def list_booking_receipts(event_id: int, booking_id: UUID) -> list[dict[str, Any]]:
    """The receipt of your booking, a few seconds after payment, and the credit notes of refunds."""
    with autocommit() as conn:
        return receipts.list_of_booking(conn, event_id, booking_id, buyer_id())


@blp.route("/receipts")
@needs("receipts.read")
@blp.paginated(IssuedReceipt, ReceiptsPage, reads="receipts read")
def list_receipts(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of your organisation, in number order."""
    organisation_id = caller().scope or page["organisation_id"]
    if organisation_id is None:
        raise InvalidRequest("Name the organisation: organisation_id.", path="organisation_id")
    return receipts.list_of_organisation(conn, **page | {"organisation_id": organisation_id})
