"""The queue of an event: join, poll, take a pass, leave."""

from typing import Any
from uuid import UUID

from flask import Response, jsonify, request
from marshmallow import ValidationError, fields, validate, validates_schema

from db.connections import autocommit
from db.queue import entries
from db.runtime.settings import settings
from web.api.wishes import SeatsWish
from web.queue.board import ENDLESS, read_board
from web.queue.tokens import Pass, QueueToken, read_queue_token, sign_pass, sign_queue_token
from web.support.auth import bearer, buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.fields import BIGGEST_ID, Schema, StrictBoolean, StrictInteger, Text
from web.support.idempotency import REQUIRED_KEY_HEADER, fingerprint, required_key
from web.support.rate_limits import spend_account

blp = Blueprint(
    "queue", __name__, url_prefix="/v1/events/<id:event_id>/queue", description="The queue"
)

SALES = ("soon", "open", "paused", "all_held", "sold_out", "over")


class Wish(SeatsWish):
    """The best available seats (quantity …), or named seats; or, with `admission`, a pass for
    choosing at most `quantity` seats."""

    admission = StrictBoolean(load_default=False)

    @validates_schema(skip_on_field_errors=True)
    def check_admission(self, given: dict[str, Any], **_: Any) -> None:
        chosen = (given["seats"], given["category"], given["accessible"])
        if given["admission"] and any((*chosen, "expected_total" in given)):
            raise ValidationError("Seats are chosen later, with the pass.", "admission")


class Number(StrictInteger):
    """A place in the queue."""

    def __init__(self) -> None:
        text = "negative in a lobby that is not drawn yet"
        super().__init__(least=-BIGGEST_ID, metadata={"description": text})


class JoinedEntry(Schema):
    """A number, and where to poll for its outcome."""

    id = fields.UUID()
    number = Number()
    state = fields.String()
    joined_at = fields.AwareDateTime()
    poll_after_s = fields.Float(allow_none=True, metadata={"description": "null: decided"})
    ticket = fields.String(metadata={"description": "for /queue/position and /queue/stream"})
    links = fields.Dict(keys=fields.String(), values=fields.String())


class Entry(Schema):
    """An entry, with booking_id when it is booked, and a reason when it ended without a booking."""

    id = fields.UUID()
    number = Number()
    state = fields.String()
    joined_at = fields.AwareDateTime()
    poll_after_s = fields.Float(allow_none=True, metadata={"description": "null: decided"})
    ticket = fields.String(metadata={"description": "for /queue/position and /queue/stream"})
    reason = fields.String(
        allow_none=True,
        metadata={"description": "price_changed: it costs `total` now; nothing is held"},
    )
    booking_id = fields.UUID(allow_none=True)
    quantity = StrictInteger()
    category = StrictInteger(allow_none=True)
    together = fields.Boolean()
    accessible = StrictInteger()
    seats = fields.List(fields.String(), allow_none=True)
    ahead = StrictInteger(allow_none=True, metadata={"description": "at most so many come before"})
    expected_total = StrictInteger(
        allow_none=True, metadata={"description": "what the buyer was shown; null: not said"}
    )
    total = StrictInteger(
        allow_none=True,
        metadata={"description": "what the wish costs now, if a total is expected; in minor units"},
    )
    decided_at = fields.AwareDateTime(allow_none=True)
    admission = fields.Boolean()
    pass_state = fields.String(
        allow_none=True,
        validate=validate.OneOf(["offered", "taken", "missed"]),
        metadata={"description": "offered, missed: POST …/pass, until pass_until"},
    )
    pass_until = fields.AwareDateTime(allow_none=True)


class EntryChanges(Schema):
    expected_total = StrictInteger(
        most=10**14,
        required=True,
        metadata={"description": "the new total, which the buyer was shown, in minor units"},
    )


class TakenPass(Schema):
    """A pass for POST …/bookings; null: it was too late, and the entry is at the queue's head."""

    queue_pass = fields.String(data_key="pass", allow_none=True)
    pass_until = fields.AwareDateTime(allow_none=True)


class Queue(Schema):
    """The public document. Before a number come number - 1 - now_serving, less the leavers of the
    blocks between."""

    now_serving = StrictInteger()
    last_number = StrictInteger(metadata={"description": "given out"})
    waiting = StrictInteger(
        metadata={"description": "exact up to 1,000; above that an upper bound"}
    )
    leavers = fields.List(
        fields.List(StrictInteger()),
        metadata={"description": "[from, to, n]: n of these numbers left; at most 80 blocks"},
    )
    sale = fields.String(
        validate=validate.OneOf(SALES),
        metadata={"description": "all_held: no seat is free, but holds may still expire"},
    )
    accessible_free = fields.Boolean(
        metadata={"description": "a place for a wheelchair is free, whatever `sale` says of others"}
    )
    rate_per_minute = StrictInteger(allow_none=True)
    estimated_wait_s = StrictInteger(
        allow_none=True, metadata={"description": "for an entry that joins now"}
    )
    poll_after_s = StrictInteger()
    as_of = fields.AwareDateTime()


class Position(Schema):
    """A place in the queue, computed from the public document."""

    number = Number()
    ahead = StrictInteger(allow_none=True, metadata={"description": "at most so many come before"})
    now_serving = StrictInteger()
    estimated_wait_s = StrictInteger(allow_none=True)
    sale = fields.String(validate=validate.OneOf(SALES))
    state_hint = fields.String(
        validate=validate.OneOf(["waiting", "look"]),
        metadata={"description": "look: read your entry after poll_after_s"},
    )
    poll_after_s = fields.Float()
    as_of = fields.AwareDateTime()


class QueueTokenInQuery(Schema):
    ticket = Text(most=1000, load_default=None, metadata={"description": "instead of the header"})


@blp.route("")
@blp.response(200, Queue)
@blp.alt_response(304, description="Unchanged since the ETag of If-None-Match", success=True)
def get_queue(event_id: int) -> Response:
    """The queue's public document; it is the same for all clients, so it can be cached."""
    board = read_board(event_id)
    answer = Response(board.document, mimetype="application/json")
    answer.headers["Cache-Control"] = "public, max-age=2"
    answer.set_etag(board.etag, weak=True)  # unchanged while only as_of changes
    answer.make_conditional(request)
    return answer


@blp.route("/position")
@blp.doc(security=[{"queue_ticket": []}])
@blp.arguments(QueueTokenInQuery, location="query")
@blp.response(200, Position)
def get_position(given: dict[str, str | None], event_id: int) -> Response:
    """Your place by your queue ticket, as a bearer token or in the query."""
    queue_token = read_queue_token(given["ticket"] or bearer(), event_id)
    spend_account(queue_token.buyer_id, verified=False)
    board, number = read_board(event_id), queue_token.number
    answer = jsonify(
        number=number,
        ahead=board.ahead(number) if number > 0 else None,
        now_serving=board.now_serving,
        estimated_wait_s=board.estimated_wait(number),
        sale=board.sale,
        state_hint="look" if board.is_called(number) else "waiting",
        poll_after_s=board.poll_after_number(number),
        as_of=board.queue["as_of"].isoformat(),
    )
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


@blp.route("", methods=["POST"])
@buyers_only
@blp.doc(parameters=[REQUIRED_KEY_HEADER])
@blp.arguments(Wish)
@blp.response(201, JoinedEntry)
@blp.alt_response(
    200, schema=JoinedEntry, description="The entry of the earlier request", success=True
)
def join_queue(wish: dict[str, Any], event_id: int) -> Response:
    """Join the queue and get a number; the same key and wish again get the same entry, and 200."""
    key = required_key()
    asked = wish | {"event_id": event_id, "buyer_id": buyer_id(), "key": key}
    with autocommit() as conn:
        entry = entries.join_queue(conn, asked | {"sha256": fingerprint(wish)})
    board = read_board(event_id)
    path = f"/v1/events/{event_id}"
    queue_token = QueueToken(event_id, entry["id"], entry["number"], buyer_id())
    answer = jsonify(
        id=entry["id"],
        number=entry["number"],
        state=entry["state"],
        joined_at=entry["joined_at"].isoformat(),
        # A repeated request gets the same answer: same seed, and same time of signing.
        poll_after_s=board.poll_after(_ahead(entry, board.waiting), seed=entry["number"]),
        ticket=sign_queue_token(queue_token, since=entry["joined_at"]),
        links={
            "self": f"{path}/queue/{entry['id']}",
            "queue": f"{path}/queue",
            "position": f"{path}/queue/position",
            "stream": f"{settings().live_url}{path}/queue/stream",
            "event": path,
        },
    )
    answer.status_code = 200 if entry["replayed"] else 201
    if entry["replayed"]:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


WAITING = ("lobby", "waiting", "standby", "admitted")


def _ahead(entry: dict[str, Any], ahead: int) -> int:
    """How many come before an entry; in a lobby nothing can be said before the draw."""
    return ENDLESS if entry["state"] == "lobby" else ahead


@blp.route("/<uuid:entry_id>")
@buyers_only
@blp.response(200, Entry)
def get_entry(event_id: int, entry_id: UUID) -> dict[str, Any]:
    """Your entry, read from the database."""
    return _read_entry(event_id, entry_id)


def _read_entry(event_id: int, entry_id: UUID) -> dict[str, Any]:
    with autocommit() as conn:
        entry = entries.get_entry(conn, event_id, entry_id, buyer_id())
    entry["poll_after_s"] = None
    entry["ticket"] = sign_queue_token(QueueToken(event_id, entry_id, entry["number"], buyer_id()))
    if entry["state"] in WAITING:
        board = read_board(event_id)
        if entry["ahead"]:
            entry["ahead"] = min(entry["ahead"], board.ahead(entry["number"]))
        standby = entry["state"] == "standby"
        entry["poll_after_s"] = (
            board.poll_after_standby()
            if standby
            else board.poll_after(_ahead(entry, entry["ahead"] or 0))
        )
    return entry


@blp.route("/<uuid:entry_id>", methods=["PATCH"])
@buyers_only
@blp.arguments(EntryChanges)
@blp.response(200, Entry)
def expect_total(given: dict[str, int], event_id: int, entry_id: UUID) -> dict[str, Any]:
    """Agree to a new price while the entry waits: it keeps its number. 409 with reason
    price_changed and the `total`, if it is not what the wish costs now."""
    with autocommit() as conn:
        entries.expect_total(conn, event_id, entry_id, buyer_id(), **given)
    return _read_entry(event_id, entry_id)


@blp.route("/<uuid:entry_id>/pass", methods=["POST"])
@buyers_only
@blp.response(200, TakenPass)
def take_pass(event_id: int, entry_id: UUID) -> dict[str, Any]:
    """Take the pass that is offered; a repeated request returns the same pass."""
    with autocommit() as conn:
        until = entries.take_pass(conn, event_id, entry_id, buyer_id())
    if until is None:
        return {"queue_pass": None, "pass_until": None}
    taken = Pass(event_id, entry_id, buyer_id(), until)
    return {"queue_pass": sign_pass(taken), "pass_until": until}


@blp.route("/<uuid:entry_id>", methods=["DELETE"])
@buyers_only
@blp.response(204)
def leave_queue(event_id: int, entry_id: UUID) -> None:
    """Leave the queue."""
    with autocommit() as conn:
        entries.leave_queue(conn, event_id, entry_id, buyer_id())
