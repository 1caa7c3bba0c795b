"""Tickets of a buyer's own bookings."""

import io
from typing import Any
from uuid import UUID

import segno
from flask import Response
from marshmallow import fields

from db.bookings import bookings
from db.connections import autocommit
from web.support.auth import buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.enumerations import TICKET_STATE
from web.support.fields import Answer, OneOf, StrictInteger

blp = Blueprint(
    "tickets",
    __name__,
    url_prefix="/v1/events/<id:event_id>/bookings/<uuid:booking_id>/tickets",
    description="Tickets",
)


TEST = (
    b'<text x="50%" y="99%" text-anchor="middle" font-size="18" font-weight="bold" fill="#b00">'
    b"TEST</text>"
)

PICTURE = {"type": "string", "description": "SVG"}


class TicketOfSeat(Answer):
    """A ticket for a seat, without the content of its code."""

    id = fields.UUID(metadata={"description": "the ticket's id"})
    guid = fields.String()
    zone = fields.String()
    row = fields.String()
    row_label = fields.String()
    number = fields.String()
    category = StrictInteger(metadata={"description": "the number of the price's category"})
    price_type = StrictInteger()
    area = StrictInteger()
    state = OneOf(TICKET_STATE)


class Ticket(TicketOfSeat):
    """A ticket for a seat."""

    secret = fields.String(
        allow_none=True, metadata={"description": "the content of the code; null: frozen"}
    )


@blp.route("")
@buyers_only
@blp.response(200, Ticket(many=True))
def list_tickets(event_id: int, booking_id: UUID) -> list[dict[str, Any]]:
    """The tickets of your booking; none before it is confirmed."""
    with autocommit() as conn:
        return bookings.list_tickets(conn, event_id, booking_id, buyer_id())


@blp.route("/<uuid:ticket_id>.svg")
@buyers_only
@blp.response(200, PICTURE, content_type="image/svg+xml")
def draw_ticket_code(event_id: int, booking_id: UUID, ticket_id: UUID) -> Response:
    """The code of a ticket, for the door. That of a test says TEST below it."""
    with autocommit() as conn:
        code = bookings.get_code(conn, event_id, booking_id, ticket_id, buyer_id())
    picture = io.BytesIO()
    segno.make_qr(code["secret"], error="m").save(picture, kind="svg", scale=6, border=4)
    drawn = picture.getvalue()
    if code["is_test"]:
        drawn = drawn.replace(b"</svg>", TEST + b"</svg>")
    answer = Response(drawn, mimetype="image/svg+xml")
    answer.headers["Cache-Control"] = "private, no-store"
    return answer
