"""The queue of an event: join, poll, take a pass, leave."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

from flask import Response, request
from marshmallow import ValidationError, fields, validates_schema

from db.connections import autocommit, own_connection
from db.queue import entries
from db.runtime.settings import settings
from web.api.wishes import SeatsWish, named_seats
from web.queue.board import ENDLESS, Board, read_board
from web.queue.tokens import Pass, QueueToken, read_queue_token, sign_pass, sign_queue_token
from web.support.auth import bearer, buyer_id, buyers_only
from web.support.blueprint import Blueprint
from web.support.dumping import compile_dump, to_json
from web.support.enumerations import ENTRY_STATE, PASS_STATE, SALE, STATE_HINT
from web.support.fields import (
    BIGGEST_ID,
    Answer,
    OneOf,
    Schema,
    StrictBoolean,
    StrictInteger,
    Text,
)
from web.support.idempotency import REQUIRED_KEY_HEADER, fingerprint, required_key
from web.support.rate_limits import spend_account

blp = Blueprint(
    "queue", __name__, url_prefix="/v1/events/<id:event_id>/queue", description="The queue"
)


class Wish(SeatsWish):
    """The best available seats (quantity …), or named seats; or, with `admission`, a pass for
    choosing at most `quantity` seats."""

    admission = StrictBoolean(
        load_default=False,
        metadata={"description": "true: a pass, with which seats are chosen when the turn comes"},
    )

    @validates_schema(skip_on_field_errors=True)
    def check_admission(self, given: dict[str, Any], **_: Any) -> None:
        chosen = (named_seats(given), given["category"], given["accessible"])
        said = "expected_total" in given or "plan_version_id" in given
        if given["admission"] and any((*chosen, said)):
            raise ValidationError("Seats are chosen later, with the pass.", "admission")


WISH = Wish()


class Number(StrictInteger):
    """A place in the queue."""

    def __init__(self) -> None:
        text = "negative in a lobby that is not drawn yet"
        super().__init__(least=-BIGGEST_ID, metadata={"description": text})


POLL_AFTER = {"description": "seconds until the entry is to be read again; null: it is decided"}
TICKET = {"description": "the queue ticket, for /queue/position and /queue/stream"}
AHEAD = {"description": "at most so many come before; null: it does not wait, or is not drawn"}


class EntryLinks(Answer):
    """Where to look for what comes next: paths, and an address for the stream."""

    self = fields.String(metadata={"description": "the entry"})
    queue = fields.String(metadata={"description": "the queue's public document"})
    position = fields.String(metadata={"description": "the place, by the queue ticket"})
    stream = fields.String(metadata={"description": "the place as it changes, then the turn"})
    event = fields.String(metadata={"description": "the event"})


class JoinedEntry(Answer):
    """A number, and where to poll for its outcome."""

    id = fields.UUID(metadata={"description": "the entry's id"})
    number = Number()
    state = OneOf(ENTRY_STATE)
    joined_at = fields.AwareDateTime(metadata={"description": "when it joined"})
    poll_after_s = fields.Float(allow_none=True, metadata=POLL_AFTER)
    ticket = fields.String(metadata=TICKET)
    links = fields.Nested(EntryLinks)


class Entry(Answer):
    """An entry, with booking_id when it is booked, and a reason when it ended without a booking."""

    id = fields.UUID(metadata={"description": "the entry's id"})
    number = Number()
    state = OneOf(ENTRY_STATE)
    joined_at = fields.AwareDateTime(metadata={"description": "when it joined"})
    poll_after_s = fields.Float(allow_none=True, metadata=POLL_AFTER)
    ticket = fields.String(metadata=TICKET)
    reason = fields.String(
        allow_none=True,
        metadata={
            "description": "why it got nothing, or waits: sold_out, sale_over, seats_taken, "
            "not_together, no_accessible_seats, over_cap, price_changed (it costs `total`), "
            "pass_not_used or error; null: nothing of these"
        },
    )
    booking_id = fields.UUID(allow_none=True, metadata={"description": "null: not booked"})
    quantity = StrictInteger(metadata={"description": "how many seats it wants"})
    category = StrictInteger(allow_none=True, metadata={"description": "wanted; null: any"})
    together = fields.Boolean(metadata={"description": "it wants seats side by side"})
    accessible = StrictInteger(metadata={"description": "how many places for wheelchairs it wants"})
    seats = fields.List(
        fields.String(),
        allow_none=True,
        metadata={"description": "guids of the wanted seats; null: the best available"},
    )
    ahead = StrictInteger(allow_none=True, metadata=AHEAD)
    expected_total = StrictInteger(
        allow_none=True,
        metadata={"description": "what the buyer was shown that it costs; null: not said"},
    )
    total = StrictInteger(
        allow_none=True,
        metadata={"description": "what it costs now, in minor units; null: no total is expected"},
    )
    decided_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it ended; null: it has not"}
    )
    admission = fields.Boolean(metadata={"description": "it wants a pass instead of seats"})
    pass_state = OneOf(
        PASS_STATE,
        allow_none=True,
        metadata={"description": "offered, missed: POST …/pass, until pass_until; null: no pass"},
    )
    pass_until = fields.AwareDateTime(
        allow_none=True, metadata={"description": "how long pass_state stays so; null: no pass"}
    )


dump_entry = compile_dump(Entry())


class EntryChanges(Schema):
    """What a buyer agrees to while the entry waits."""

    expected_total = StrictInteger(
        most=10**14,
        required=True,
        metadata={"description": "the new total, which the buyer was shown, in minor units"},
    )


class TakenPass(Answer):
    """A pass for POST …/bookings; null: it was too late, and the entry is at the queue's head."""

    queue_pass = fields.String(
        data_key="pass",
        allow_none=True,
        metadata={"description": "the `pass` of a booking; null: too late"},
    )
    pass_until = fields.AwareDateTime(
        allow_none=True, metadata={"description": "book before that; null: there is no pass"}
    )


class Queue(Answer):
    """The public document. Before a number come number - 1 - now_serving, less the leavers of the
    blocks between."""

    now_serving = StrictInteger(
        metadata={"description": "no entry up to this number waits for its turn"}
    )
    last_number = StrictInteger(metadata={"description": "the last number given out"})
    waiting = StrictInteger(
        metadata={"description": "exact up to 1,000; above that an upper bound"}
    )
    leavers = fields.List(
        fields.List(StrictInteger()),
        metadata={"description": "[from, to, n]: n of these numbers left; at most 80 blocks"},
    )
    sale = OneOf(SALE)
    accessible_free = fields.Boolean(
        metadata={"description": "a place for a wheelchair is free, whatever `sale` says of others"}
    )
    rate_per_minute = StrictInteger(
        allow_none=True, metadata={"description": "entries that get their turn; null: not known"}
    )
    estimated_wait_s = StrictInteger(
        allow_none=True,
        metadata={"description": "seconds, for an entry that joins now; null: not known"},
    )
    poll_after_s = StrictInteger(metadata={"description": "seconds until it is read again"})
    as_of = fields.AwareDateTime(metadata={"description": "when it was read"})


class Position(Answer):
    """A place in the queue, computed from the public document."""

    number = Number()
    ahead = StrictInteger(allow_none=True, metadata=AHEAD)
    now_serving = StrictInteger(
        metadata={"description": "no entry up to this number waits for its turn"}
    )
    estimated_wait_s = StrictInteger(
        allow_none=True, metadata={"description": "in seconds; null: not known"}
    )
    sale = OneOf(SALE)
    state_hint = OneOf(STATE_HINT)
    poll_after_s = fields.Float(metadata={"description": "seconds until it is asked again"})
    as_of = fields.AwareDateTime(metadata={"description": "when the document was read"})


class QueueTokenInQuery(Schema):
    """The queue ticket, where headers cannot be sent."""

    ticket = Text(most=1000, load_default=None, metadata={"description": "instead of the header"})


@blp.route("")
@blp.response(200, Queue)
@blp.alt_response(304, description="Unchanged since the ETag of If-None-Match", success=True)
def get_queue(event_id: int) -> Response:
    """The queue's public document; it is the same for all clients, so it can be cached."""
    board = read_board(event_id)
    answer = Response(board.document, mimetype="application/json")
    answer.headers["Cache-Control"] = CACHED
    answer.set_etag(board.etag, weak=True)  # unchanged while only as_of changes
    answer.make_conditional(request)
    return answer


CACHED = "public, max-age=2"
PRIVATE = "private, no-store"


@blp.route("/position")
@blp.doc(security=[{"queue_ticket": []}, {"queue_ticket_in_query": []}])
@blp.arguments(QueueTokenInQuery, location="query")
@blp.response(200, Position)
def get_position(given: dict[str, str | None], event_id: int) -> Response:
    """Your place by your queue ticket, as a bearer token or in the query."""
    queue_token = read_queue_token(given["ticket"] or bearer(), event_id)
    spend_account(queue_token.buyer_id, verified=False)
    body = to_json(tell_position(read_board(event_id), queue_token.number))
    answer = Response(body, mimetype="application/json")
    answer.headers["Cache-Control"] = PRIVATE
    return answer


def tell_position(board: Board, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "ahead": board.ahead(number) if number > 0 else None,
        "now_serving": board.now_serving,
        "estimated_wait_s": board.estimated_wait(number),
        "sale": board.sale,
        "state_hint": "look" if board.is_called(number) else "waiting",
        "poll_after_s": board.poll_after_number(number),
        "as_of": board.queue["as_of"].isoformat(),
    }


@blp.route("", methods=["POST"])
@buyers_only
@blp.doc(parameters=[REQUIRED_KEY_HEADER])
@blp.arguments(Wish, example={"quantity": 2, "category": 2, "accept_terms": True})
@blp.response(201, JoinedEntry)
@blp.alt_response(
    200, schema=JoinedEntry, description="The entry of the earlier request", success=True
)
@blp.conflicts(
    "already_waiting",
    "in_flight",
    "plan_moved",
    "price_changed",
    "sale_not_open",
    "sale_over",
    "unpaid_holds",
)
def join_queue(wish: dict[str, Any], event_id: int) -> Response:
    """Join the queue and get a number; the same key and wish again get the same entry, and 200."""
    entry = add_entry(wish, fingerprint(wish), event_id, buyer_id(), required_key())
    body = to_json(tell_joined(entry, event_id, buyer_id(), read_board(event_id)))
    answer = Response(body, 200 if entry["replayed"] else 201, mimetype="application/json")
    if entry["replayed"]:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


def add_entry(
    wish: dict[str, Any], sha256: bytes, event_id: int, buyer_id: int, key: str
) -> dict[str, Any]:
    """The entry of a new request, or of an earlier one with the same key. Errors: those of
    entries.join_queue."""
    asked = {"event_id": event_id, "buyer_id": buyer_id, "key": key, "sha256": sha256}
    with own_connection() as conn:
        return entries.join_queue(conn, wish | asked)


def tell_joined(
    entry: dict[str, Any], event_id: int, buyer_id: int, board: Board
) -> dict[str, Any]:
    """The answer to joining. A repeated request gets the same: same seed, same time of signing."""
    path = f"/v1/events/{event_id}"
    queue_token = QueueToken(event_id, entry["id"], entry["number"], buyer_id)
    return {
        "id": str(entry["id"]),
        "number": entry["number"],
        "state": entry["state"],
        "joined_at": entry["joined_at"].isoformat(),
        "poll_after_s": board.poll_after(_ahead(entry, board.waiting), seed=entry["number"]),
        "ticket": sign_queue_token(queue_token, since=entry["joined_at"]),
        "links": {
            "self": f"{path}/queue/{entry['id']}",
            "queue": f"{path}/queue",
            "position": f"{path}/queue/position",
            "stream": f"{settings().live_url}{path}/queue/stream",
            "event": path,
        },
    }


@lru_cache(maxsize=1000)
def read_usual_wish(body: bytes) -> tuple[dict[str, Any], bytes] | None:
    """The wish that a body holds, and its fingerprint, read once for all buyers with the same: it
    must not be changed. None: there is something wrong with it."""
    try:
        wish: dict[str, Any] = WISH.load(json.loads(body.decode()))
    except (ValueError, RecursionError, ValidationError):
        return None
    return wish, fingerprint(wish)


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
    return look_up_entry(event_id, entry_id, buyer_id(), read_board)


def look_up_entry(
    event_id: int, entry_id: UUID, buyer_id: int, read_board: Callable[[int], Board]
) -> dict[str, Any]:
    """A buyer's own entry, as it is told. Errors: NotFound."""
    with own_connection() as conn:
        entry = entries.get_entry(conn, event_id, entry_id, buyer_id)
    entry["poll_after_s"] = None
    entry["ticket"] = sign_queue_token(QueueToken(event_id, entry_id, entry["number"], buyer_id))
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
@blp.arguments(EntryChanges, example={"expected_total": 10600})
@blp.response(200, Entry)
@blp.conflicts("decided", "no_total", "price_changed")
def expect_total(given: dict[str, int], event_id: int, entry_id: UUID) -> dict[str, Any]:
    """Agree to a new price while the entry waits: it keeps its number. 409 with reason
    price_changed and the `total`, if it is not what the wish costs now."""
    with autocommit() as conn:
        entries.expect_total(conn, event_id, entry_id, buyer_id(), **given)
    return _read_entry(event_id, entry_id)


@blp.route("/<uuid:entry_id>/pass", methods=["POST"])
@buyers_only
@blp.response(200, TakenPass)
@blp.conflicts(*entries.PASSES)
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
@blp.conflicts("decided")
def leave_queue(event_id: int, entry_id: UUID) -> None:
    """Leave the queue."""
    with autocommit() as conn:
        entries.leave_queue(conn, event_id, entry_id, buyer_id())
