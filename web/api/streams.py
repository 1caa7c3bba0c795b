"""Streams of server-sent events, as the OpenAPI document describes them. The live process serves
them: web/live/server.py."""

from typing import Any

from marshmallow import fields

from web.api.queues import AHEAD, Number
from web.support.enumerations import (
    BOOKING_STATE,
    ENTRY_STATE,
    PASS_STATE,
    PAYMENT_STATE,
    SALE,
)
from web.support.fields import Answer, OneOf, StrictInteger
from web.support.openapi import UsherApi


class PositionEvent(Answer):
    """The data of an event `position`: your place in the queue."""

    number = Number()
    state = OneOf(ENTRY_STATE)
    ahead = StrictInteger(allow_none=True, metadata=AHEAD)
    now_serving = StrictInteger(
        metadata={"description": "no entry up to this number waits for its turn"}
    )
    estimated_wait_s = StrictInteger(
        allow_none=True, metadata={"description": "in seconds; null: not known"}
    )
    sale = OneOf(SALE)


class TurnEvent(Answer):
    """The data of an event `turn`: what came of your entry."""

    number = Number()
    state = OneOf(ENTRY_STATE)
    reason = fields.String(
        allow_none=True, metadata={"description": "why it got nothing; null: it got something"}
    )
    booking_id = fields.UUID(allow_none=True, metadata={"description": "null: not booked"})
    pass_state = OneOf(
        PASS_STATE, allow_none=True, metadata={"description": "of its pass; null: none"}
    )


class BookingEvent(Answer):
    """The data of an event `booking`: the states of your booking and its payment."""

    id = fields.UUID(metadata={"description": "the booking's id"})
    state = OneOf(BOOKING_STATE)
    reason = fields.String(
        allow_none=True, metadata={"description": "why it ended; null: it did not"}
    )
    payment_state = OneOf(
        PAYMENT_STATE,
        allow_none=True,
        metadata={"description": "of the latest attempt; null: none yet"},
    )


RESUME = {
    "in": "header",
    "name": "Last-Event-ID",
    "description": "The id of the last event that was seen: only what is different now is sent.",
    "schema": {"type": "string", "maxLength": 200},
}
READERS: list[dict[str, list[str]]] = [
    {"buyer": []},
    {"queue_ticket": []},
    {"queue_ticket_in_query": []},
]
PROBLEMS = {404: "NOT_FOUND", 429: "TOO_MANY_REQUESTS", 503: "SERVICE_UNAVAILABLE"}


def describe(api: UsherApi) -> None:
    """Describe the streams."""
    api.spec.tag({"name": "live", "description": "Streams of server-sent events"})
    api.describe_live(
        "/v1/events/<id:event_id>/queue/stream",
        "stream_queue",
        _operation(
            api,
            "Your place in the queue as it changes, then your turn. It ends when the entry is "
            "decided.",
            {"position": PositionEvent, "turn": TurnEvent},
        ),
    )
    api.describe_live(
        "/v1/events/<id:event_id>/bookings/<uuid:booking_id>/stream",
        "stream_booking",
        _operation(
            api,
            "The states of your booking and its payment. It ends when they are final.",
            {"booking": BookingEvent},
        ),
    )


def _operation(api: UsherApi, summary: str, data: dict[str, type[Answer]]) -> dict[str, Any]:
    """An operation whose events have these data, by their names."""
    told = ", ".join(f"`{name}` ({schema.__name__})" for name, schema in data.items())
    stream = {
        "type": "string",
        "description": f"Events {told}, with an `id` that says what was told.",
        "x-events": {name: api.describe_schema(schema) for name, schema in data.items()},
    }
    return {
        "summary": summary,
        "description": "A comment comes every 15 seconds. Reconnect after the pause that `retry` "
        "says, with Last-Event-ID.",
        "security": READERS,
        "parameters": [RESUME],
        "responses": {
            200: {
                "description": "The stream",
                "content": {"text/event-stream": {"schema": stream}},
            },
            204: {"description": "The client has seen everything: do not reconnect."},
            **PROBLEMS,
        },
    }
