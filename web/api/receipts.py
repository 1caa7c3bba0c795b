"""Receipts, credit notes and reversals: for buyers, and for the organisation that issued them."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.connections import Conn, autocommit
from db.payments import receipts
from db.runtime.errors import InvalidRequest
from web.api.bookings import BOOKING, Breakdown
from web.support.auth import buyer_id, buyers_only, caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import ROW_LABEL, QueryInteger, Schema, StrictInteger
from web.support.pages import Page

blp = Blueprint("receipts", __name__, url_prefix="/v1", description="Receipts, without gaps")


class Line(Schema):
    what = fields.String(metadata={"description": "ticket or booking_fee"})
    zone = fields.String()
    row = fields.String()
    row_label = fields.String(metadata=ROW_LABEL)
    number = fields.String()
    category = fields.String()
    price = fields.Integer()
    fee = fields.Integer()
    tax_rate = fields.Float()
    tax = fields.Integer()
    total = fields.Integer()


class IssuedReceipt(Breakdown):
    """A document as it was issued. Amounts of a credit note are negative; a reversal takes a credit
    note back. Refunds of the booking's fee, or of an amount alone, have no line in a credit note.
    """

    number = StrictInteger(metadata={"description": "1, 2, 3 … of this organisation"})
    kind = fields.String(metadata={"description": "receipt, credit_note or reversal"})
    corrects = StrictInteger(
        allow_none=True, metadata={"description": "the number of the corrected document"}
    )
    seller = fields.String()
    seller_address = fields.String(metadata={"description": "in lines; empty: not set then"})
    seller_vat_id = fields.String(metadata={"description": "empty: not set then"})
    issued_at = fields.AwareDateTime()
    event_id = StrictInteger()
    event = fields.String()
    venue = fields.String()
    starts_at = fields.String()
    time_zone = fields.String()
    booking_id = fields.UUID()
    booking = fields.String(metadata={"description": "its code"})
    refund_id = fields.UUID(allow_none=True)
    reason = fields.String(metadata={"description": "of a refund"})
    currency = fields.String()
    lines = fields.List(fields.Nested(Line))
    fees = StrictInteger(metadata={"description": "of a receipt, contained in its total"})
    booking_fee = StrictInteger()


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
@organisations_only
@blp.paginated(IssuedReceipt, ReceiptsPage)
def list_receipts(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of your organisation, in number order."""
    organisation_id = caller().scope or page["organisation_id"]
    if organisation_id is None:
        raise InvalidRequest("Name the organisation: organisation_id.", path="organisation_id")
    return receipts.list_of_organisation(conn, **page | {"organisation_id": organisation_id})
