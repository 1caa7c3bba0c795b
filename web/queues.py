"""The queue of an event: joining, looking, leaving."""

from typing import Any
from uuid import UUID

from flask import Response, jsonify
from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from db import entries
from db.connections import autocommit
from web.auth import buyer_id, buyers_only
from web.blueprint import Blueprint
from web.fields import Shape, Text, Whole, YesNo, unique
from web.once import REQUIRED_KEY_HEADER, fingerprint, required_key
from web.queue_board import read_board

blp = Blueprint(
    "queue", __name__, url_prefix="/v1/events/<id:event_id>/queue", description="The queue"
)

MOST_SEATS = 50


class Wish(Shape):
    """Best available: quantity and so on; or named seats."""

    quantity = Whole(least=1, most=MOST_SEATS)
    category = Whole(least=1, most=32767, load_default=None, allow_none=True)
    together = YesNo(load_default=True)
    seats = fields.List(
        Text(),
        load_default=None,
        allow_none=True,
        validate=[validate.Length(min=1, max=MOST_SEATS), unique],
    )
    accessible = Whole(most=MOST_SEATS, load_default=0)
    accept_terms = YesNo(load_default=False)

    @validates_schema(skip_on_field_errors=True)
    def check_combination(self, given: dict[str, Any], **_: Any) -> None:
        seats, quantity = given["seats"], given.get("quantity")
        if seats is None and quantity is None:
            raise ValidationError("Say how many, or which seats.", "quantity")
        if seats is not None and quantity not in (None, len(seats)):
            raise ValidationError("The number of seats named is another.", "quantity")
        if seats is not None and given["category"] is not None:
            raise ValidationError("Named seats have their own categories.", "category")
        if given["accessible"] > (quantity or len(seats)):
            raise ValidationError("There are not so many seats.", "accessible")

    @post_load
    def count_seats(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        given.setdefault("quantity", len(given["seats"] or ()))
        return given


class JoinedEntry(Shape):
    """A number, and where to look for what becomes of it."""

    id = fields.UUID()
    number = Whole()
    state = fields.String()
    joined_at = fields.AwareDateTime()
    poll_after_s = Whole(allow_none=True, metadata={"description": "null: decided"})
    links = fields.Dict(keys=fields.String(), values=fields.String())


class Entry(Shape):
    """An entry; booking_id when it is booked, reason when it ended otherwise."""

    id = fields.UUID()
    number = Whole()
    state = fields.String()
    joined_at = fields.AwareDateTime()
    poll_after_s = Whole(allow_none=True, metadata={"description": "null: decided"})
    reason = fields.String(allow_none=True)
    booking_id = fields.UUID(allow_none=True)
    quantity = Whole()
    category = Whole(allow_none=True)
    together = fields.Boolean()
    accessible = Whole()
    seats = fields.List(fields.String(), allow_none=True)
    ahead = Whole(allow_none=True, metadata={"description": "at most so many come before"})
    decided_at = fields.AwareDateTime(allow_none=True)


class Queue(Shape):
    now_serving = Whole()
    waiting = Whole()
    rate_per_minute = Whole(allow_none=True)
    estimated_wait_s = Whole(allow_none=True, metadata={"description": "for who joins now"})
    poll_after_s = Whole()
    as_of = fields.AwareDateTime()


@blp.route("")
@blp.response(200, Queue)
def get_queue(event_id: int) -> Response:
    """Where the queue is; the same for all, so that anything may cache it."""
    answer = Response(read_board(event_id).document, mimetype="application/json")
    answer.headers["Cache-Control"] = "public, max-age=2"
    return answer


@blp.route("", methods=["POST"])
@buyers_only
@blp.doc(parameters=[REQUIRED_KEY_HEADER])
@blp.arguments(Wish)
@blp.response(201, JoinedEntry)
def join_queue(wish: dict[str, Any], event_id: int) -> Response:
    """Join the queue and get a number; the same key and wish again get the same entry, and 200."""
    key = required_key()
    asked = wish | {"event_id": event_id, "buyer_id": buyer_id(), "key": key}
    with autocommit() as conn:
        entry = entries.join_queue(conn, asked | {"sha256": fingerprint(wish)})
    board = read_board(event_id)
    path = f"/v1/events/{event_id}"
    answer = jsonify(
        id=entry["id"],
        number=entry["number"],
        state=entry["state"],
        joined_at=entry["joined_at"].isoformat(),
        poll_after_s=board.poll_after(board.waiting),
        links={"self": f"{path}/queue/{entry['id']}", "queue": f"{path}/queue", "event": path},
    )
    answer.status_code = 200 if entry["replayed"] else 201
    if entry["replayed"]:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


WAITING = ("lobby", "waiting", "standby", "admitted")


@blp.route("/<uuid:entry_id>")
@buyers_only
@blp.response(200, Entry)
def get_entry(event_id: int, entry_id: UUID) -> dict[str, Any]:
    """Your entry, exactly."""
    with autocommit() as conn:
        entry = entries.get_entry(conn, event_id, entry_id, buyer_id())
    entry["poll_after_s"] = None
    if entry["state"] in WAITING:
        entry["poll_after_s"] = read_board(event_id).poll_after(entry["ahead"] or 0)
    return entry


@blp.route("/<uuid:entry_id>", methods=["DELETE"])
@buyers_only
@blp.response(204)
def leave_queue(event_id: int, entry_id: UUID) -> None:
    """Give your place up."""
    with autocommit() as conn:
        entries.leave_queue(conn, event_id, entry_id, buyer_id())
