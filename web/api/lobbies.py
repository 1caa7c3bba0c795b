"""The lobby of an event: announcing it, its draw, and the data for checking the draw."""

from datetime import datetime
from typing import Any

from flask import Flask, Response, current_app, request
from marshmallow import fields

from db.connections import autocommit, transaction
from db.queue import lobbies
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import LOBBY_STATE
from web.support.fields import Answer, Line, OneOf, Schema, StrictInteger, Timestamp
from web.support.snapshots import Snapshots

blp = Blueprint(
    "lobby", __name__, url_prefix="/v1/events/<id:event_id>/lobby", description="Lobby and draw"
)

A_DAY = 86_400
LISTS_KEPT = 8  # of 200,000 accounts: 1.6 MB, and 2.9 MB with their numbers


class LobbyFields(Schema):
    """When buyers gather before the sale, and how their order is drawn."""

    opens_at = Timestamp(required=True, metadata={"description": "when buyers can join"})
    closes_at = Timestamp(
        required=True, metadata={"description": "when the list is fixed, before on_sale_at"}
    )
    public_source = Line(
        most=1000,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "what the public value will be, and when it becomes known after the"
            " lobby closes; without one the draw is random, but cannot be checked"
        },
    )


class PublicValue(Schema):
    """What the public source says."""

    public_value = Line(
        most=1000,
        required=True,
        metadata={"description": "what public_source announced, as in 7-13-20-31-44-48"},
    )


class Lobby(Answer):
    """A lobby. Hashes and the secret are in hex; fields that are not known yet are null."""

    event_id = StrictInteger()
    state = OneOf(LOBBY_STATE)
    opens_at = fields.AwareDateTime(metadata={"description": "when buyers can join"})
    closes_at = fields.AwareDateTime(metadata={"description": "when the list is fixed"})
    on_sale_at = fields.AwareDateTime()
    commitment = fields.String(metadata={"description": "sha256 of the secret"})
    committed_at = fields.AwareDateTime(metadata={"description": "when it was published"})
    public_source = fields.String(
        allow_none=True,
        metadata={"description": "what the public value will be; null: there is none"},
    )
    closed_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when the list was fixed; null: not yet"}
    )
    list_sha256 = fields.String(
        allow_none=True, metadata={"description": "of /lobby/list; null: not fixed yet"}
    )
    list_count = StrictInteger(
        allow_none=True, metadata={"description": "how many are on it; null: not fixed yet"}
    )
    public_value = fields.String(
        allow_none=True, metadata={"description": "null: not given, or not needed"}
    )
    value_given_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was given; null: not yet"}
    )
    secret = fields.String(
        allow_none=True, metadata={"description": "what was committed to; null: before the draw"}
    )
    seed = fields.String(
        allow_none=True,
        metadata={
            "description": "sha256 of the secret's bytes and the value; null: before the draw"
        },
    )
    drawn_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when the order was drawn; null: not yet"}
    )
    provable = fields.Boolean(metadata={"description": "false: random, not provable"})
    server_time = fields.AwareDateTime()


def keep_lists(app: Flask) -> None:
    # The documents never change; refusals before they exist are not cached.
    app.extensions["lobby_lists"] = Snapshots(_read_list, seconds=A_DAY, most=LISTS_KEPT)
    app.extensions["lobby_orders"] = Snapshots(_read_order, seconds=A_DAY, most=LISTS_KEPT)
    app.extensions["lobbies"] = Snapshots(_read_lobby, seconds=1, most=200)


def _read_list(event_id: int, _: bytes | None) -> bytes:
    with autocommit() as conn:
        return lobbies.get_list(conn, event_id)


def _read_order(event_id: int, _: bytes | None) -> bytes:
    with autocommit() as conn:
        return lobbies.get_order(conn, event_id)


def _read_lobby(event_id: int, _: dict[str, Any] | None) -> dict[str, Any]:
    with autocommit() as conn:
        return _with_verdict(lobbies.get_lobby(conn, event_id))


def _with_verdict(lobby: dict[str, Any]) -> dict[str, Any]:
    return lobby | {"provable": lobby["public_source"] is not None}


@blp.route("", methods=["PUT"])
@needs("sales.write")
@blp.arguments(
    LobbyFields,
    example={
        "opens_at": "2040-01-10T09:00:00+01:00",
        "closes_at": "2040-01-10T09:45:00+01:00",
        "public_source": "the numbers of the lottery draw of 10 January 2040, in order",
    },
)
@blp.response(200, Lobby)
@blp.conflicts("not_opened", "begun")
def set_lobby(given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Announce a lobby, or change it until it opens. Its commitment is published at once."""
    times: tuple[datetime, datetime] = given["opens_at"], given["closes_at"]
    with transaction(caller().name) as conn:
        lobbies.set_lobby(conn, caller().scope, event_id, times, given["public_source"])
        return _with_verdict(lobbies.get_lobby(conn, event_id))


@blp.route("")
@blp.response(200, Lobby)
def get_lobby(event_id: int) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Times, commitment, the list's hash, and after the draw its secret and public value."""
    kept: Snapshots[dict[str, Any]] = current_app.extensions["lobbies"]
    return kept.get(event_id), 200, {"Cache-Control": "public, max-age=2"}


@blp.route("/draw", methods=["POST"])
@needs("sales.write")
@blp.arguments(PublicValue, example={"public_value": "7-13-20-31-44-48"})
@blp.response(202, Lobby)
@blp.conflicts("no_public_source", "not_closed", "value_given")
def give_public_value(given: dict[str, str], event_id: int) -> dict[str, Any]:
    """Give the public value after the list is published; the lobby is drawn within seconds."""
    with transaction(caller().name) as conn:
        lobbies.give_public_value(conn, caller().scope, event_id, given["public_value"])
        return _with_verdict(lobbies.get_lobby(conn, event_id))


LINES = {"type": "string"}


@blp.route("/list")
@blp.response(200, LINES, content_type="text/plain")
@blp.alt_response(304, description="You have it already")
@blp.conflicts("not_closed")
def get_lobby_list(event_id: int) -> Response:
    """The lobby's list: sorted account ids, one a line. Its sha256 is list_sha256."""
    return _answer_lines("lobby_lists", event_id)


@blp.route("/order")
@blp.response(200, LINES, content_type="text/plain")
@blp.alt_response(304, description="You have it already")
@blp.conflicts("not_drawn")
def get_lobby_order(event_id: int) -> Response:
    """The order that was drawn: number and account, one pair a line."""
    return _answer_lines("lobby_orders", event_id)


def _answer_lines(name: str, event_id: int) -> Response:
    kept: Snapshots[bytes] = current_app.extensions[name]
    answer = Response(kept.get(event_id), mimetype="text/plain")
    answer.cache_control.public, answer.cache_control.max_age = True, A_DAY
    answer.add_etag()
    answer.make_conditional(request)
    return answer
