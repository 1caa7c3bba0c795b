"""The feed: what happened in an organisation's sales, to be read in order, from a cursor on."""

from typing import Any

from marshmallow import fields

from db.connections import autocommit
from db.feed import feed
from db.feed.messages import BOOKING, ENTRY, PAYMENT, REFUND, SEATS, SEATS_RETURNED
from db.runtime.errors import InvalidRequest
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import (
    ANY_METHOD,
    BOOKING_STATE,
    FEED_TYPE,
    PAYMENT_STATE,
    REFUND_CAUSE,
    REFUND_STATE,
    SEAT_AFTER_RETURN,
)
from web.support.fields import Answer, AnyOf, OneOf, QueryInteger, Schema, StrictInteger

blp = Blueprint("feed", __name__, url_prefix="/v1", description="What happened, in order")

MOST = 1000


class FeedPage(Schema):
    """Where to go on reading."""

    after = QueryInteger(
        load_default=None,
        metadata={"description": "the last number you have; without it: from the oldest kept one"},
    )
    limit = QueryInteger(least=1, most=MOST, load_default=100)
    organisation_id = QueryInteger(
        least=1, load_default=None, metadata={"description": "required for operators"}
    )


def of_types(types: dict[str, str]) -> str:
    return f"of {', '.join(types)}"


class EntryData(Answer):
    """An entry of the queue."""

    entry_id = fields.UUID(metadata={"description": of_types(ENTRY)})
    number = StrictInteger(
        allow_none=True, metadata={"description": "null: in the lobby, or booked without queueing"}
    )
    quantity = StrictInteger(metadata={"description": "how many seats it wants"})
    category = StrictInteger(allow_none=True, metadata={"description": "null: any"})
    accessible = StrictInteger(metadata={"description": "how many of them for wheelchairs"})
    together = fields.Boolean(metadata={"description": "side by side"})
    admission = fields.Boolean(metadata={"description": "it asks for a pass, to choose seats"})
    channel = fields.String(metadata={"description": "web, or where it is sold"})
    reason = fields.String(
        allow_none=True, metadata={"description": "why there was nothing for it; null: otherwise"}
    )
    seats = fields.List(
        fields.String(),
        allow_none=True,
        metadata={"description": "guids of the seats it names; null: none"},
    )


class SoldSeat(Answer):
    """A seat of a booking. Amounts are in minor units."""

    guid = fields.String()
    category = StrictInteger(metadata={"description": "the number of the price's category"})
    price_type = StrictInteger()
    area = StrictInteger()
    price = StrictInteger(metadata={"description": "tax included, without the fee"})
    fee = StrictInteger(metadata={"description": "of the ticket, tax included"})
    tax = StrictInteger(metadata={"description": "contained in price and fee"})
    ticket_id = fields.UUID(
        allow_none=True, metadata={"description": "null: the booking is not confirmed"}
    )


class BookingData(Answer):
    """A booking, and the seats that are its own at that time."""

    booking_id = fields.UUID(metadata={"description": of_types(BOOKING)})
    code = fields.String(metadata={"description": "as buyers quote it"})
    entry_id = fields.UUID(
        allow_none=True,
        metadata={"description": "of its entry, which is booked with it; null: none"},
    )
    state = OneOf(BOOKING_STATE)
    previous_state = OneOf(
        BOOKING_STATE, allow_none=True, metadata={"description": "null: it is new"}
    )
    channel = fields.String(metadata={"description": "web, or where it is sold"})
    quantity = StrictInteger(metadata={"description": "how many seats it was made for"})
    currency = fields.String()
    total = StrictInteger(metadata={"description": "in minor units"})
    fee = StrictInteger(metadata={"description": "the booking's own, part of the total"})
    payment_id = fields.UUID(
        allow_none=True, metadata={"description": "of its attempt to pay; null: none"}
    )
    reason = fields.String(
        allow_none=True,
        metadata={"description": "why it ended before it was paid; null: it did not"},
    )
    seats = fields.List(fields.Nested(SoldSeat), metadata={"description": "in the plan's order"})


class ReturnedSeat(Answer):
    """A seat whose ticket was returned."""

    guid = fields.String()
    ticket_id = fields.UUID(metadata={"description": "of the ticket, which is void"})


class SeatsReturnedData(Answer):
    """Seats that a booking had, and has no longer."""

    booking_id = fields.UUID(metadata={"description": of_types(SEATS_RETURNED)})
    seat_state = OneOf(SEAT_AFTER_RETURN)
    seats = fields.List(
        fields.Nested(ReturnedSeat), metadata={"description": "in the plan's order"}
    )


class PaymentData(Answer):
    """An attempt to pay."""

    payment_id = fields.UUID(metadata={"description": of_types(PAYMENT)})
    booking_id = fields.UUID()
    state = OneOf(PAYMENT_STATE)
    previous_state = OneOf(
        PAYMENT_STATE, allow_none=True, metadata={"description": "null: it is new"}
    )
    method = OneOf(ANY_METHOD)
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    captured = StrictInteger(metadata={"description": "the money that was taken, in minor units"})
    failure_code = fields.String(
        allow_none=True, metadata={"description": "the gateway's; null: it did not fail"}
    )


class RefundedSeat(Answer):
    """A seat that a refund is for."""

    guid = fields.String()
    amount = StrictInteger(metadata={"description": "the refund's part, in minor units"})


class RefundData(Answer):
    """A refund."""

    refund_id = fields.UUID(metadata={"description": of_types(REFUND)})
    payment_id = fields.UUID()
    booking_id = fields.UUID()
    state = OneOf(REFUND_STATE)
    previous_state = OneOf(
        REFUND_STATE, allow_none=True, metadata={"description": "null: it is new"}
    )
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    cause = OneOf(REFUND_CAUSE)
    seats = fields.List(
        fields.Nested(RefundedSeat), metadata={"description": "none: it is of an amount alone"}
    )


class SeatsData(Answer):
    """Seats that the organisation has blocked or unblocked."""

    seats = fields.List(
        fields.String(), metadata={"description": f"their guids, {of_types(SEATS)}"}
    )


DATA = (EntryData, BookingData, SeatsReturnedData, PaymentData, RefundData, SeatsData)


class FeedMessage(Answer):
    """What happened."""

    number = StrictInteger(metadata={"description": "1, 2, 3 … without gaps: the cursor"})
    type = OneOf(FEED_TYPE)
    version = StrictInteger(
        metadata={"description": "of the data; fields may be added within a version"}
    )
    timestamp = fields.AwareDateTime(metadata={"description": "when it happened"})
    livemode = fields.Boolean(metadata={"description": "false: of an event in test mode"})
    event_id = StrictInteger()
    data = AnyOf(DATA, metadata={"description": "by the first word of the type"})


class Feed(Answer):
    """A page of the feed."""

    messages = fields.List(fields.Nested(FeedMessage), metadata={"description": "in order"})
    has_more = fields.Boolean(metadata={"description": "more follow at once"})
    next_after = StrictInteger(
        metadata={"description": "the cursor of the next request, to be kept with what was done"}
    )
    oldest = StrictInteger(metadata={"description": "the first number that is kept"})
    last = StrictInteger(metadata={"description": "the last number, to begin from now on"})


@blp.route("/feed")
@needs("feed.read")
@blp.arguments(FeedPage, location="query")
@blp.response(200, Feed)
@blp.conflicts("cursor_too_old", "cursor_unknown")
def read_feed(page: dict[str, Any]) -> dict[str, Any]:
    """What happened in your organisation's sales after a number, in order; a key with the scope
    `test` reads what happened in test mode, and others all the rest."""
    organisation_id = caller().scope or page["organisation_id"]
    if organisation_id is None:
        raise InvalidRequest("Name the organisation: organisation_id.", path="organisation_id")
    after, limit, is_test = page["after"], page["limit"], caller().is_test
    with autocommit() as conn:
        span = feed.get_span(conn, organisation_id, is_test=is_test)
        found = feed.list_messages(
            conn, organisation_id, is_test=is_test, after=after, limit=limit + 1
        )
    messages = found[:limit]
    next_after = messages[-1]["number"] if messages else after or span["last"]
    return span | {"messages": messages, "has_more": len(found) > limit, "next_after": next_after}
