"""An organiser's hand on the sale: the lane of an event, and seats set aside."""

from typing import Any

from marshmallow import fields, validate

from db.catalogue import events
from db.connections import Conn, transaction
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Schema, StrictInteger, Text, unique

blp = Blueprint(
    "lanes", __name__, url_prefix="/v1/events/<id:event_id>", description="Control of a sale"
)


class LaneFields(Schema):
    weight = fields.Float(
        validate=validate.Range(min=0.01, max=100),
        metadata={"description": "its share of the work when several events are on sale"},
    )
    in_flight_cap = StrictInteger(
        least=1,
        most=1_000_000,
        allow_none=True,
        metadata={"description": "bookings that may be unpaid at once; null: no cap"},
    )

    admission_rate = fields.Float(
        validate=validate.Range(min=0.01, max=10_000_000),
        allow_none=True,
        metadata={"description": "entries a minute that get seats or a pass; null: no bound"},
    )


class Lane(Schema):
    id = StrictInteger()
    weight = fields.Float()
    paused = fields.Boolean()
    in_flight_cap = StrictInteger(allow_none=True)
    admission_rate = fields.Float(allow_none=True)


class Change(Schema):
    """Something that was changed about a sale, by whom."""

    id = StrictInteger()
    at = fields.AwareDateTime()
    actor = fields.String()
    action = fields.String()
    detail = fields.Dict(metadata={"description": "by field: {from, to}"})


class SeatList(Schema):
    seats = fields.List(Text(), required=True, validate=[validate.Length(min=1, max=1000), unique])


@blp.route("/pause", methods=["POST"])
@organisations_only
@blp.response(200, Lane)
def pause(event_id: int) -> dict[str, Any]:
    """No entry is served for now; joining goes on."""
    return _change_lane(event_id, {"paused": True})


@blp.route("/resume", methods=["POST"])
@organisations_only
@blp.response(200, Lane)
def resume(event_id: int) -> dict[str, Any]:
    """Serve again."""
    return _change_lane(event_id, {"paused": False})


@blp.route("/lane", methods=["PATCH"])
@organisations_only
@blp.arguments(LaneFields)
@blp.response(200, Lane)
def change_lane(given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Throttle, or weigh it against other events."""
    return _change_lane(event_id, given)


@blp.route("/changes")
@organisations_only
@blp.paginated(Change)
def list_changes(conn: Conn, page: dict[str, int], event_id: int) -> list[dict[str, Any]]:
    """What was changed about the sale, latest first: pause, weight, caps, rate, its state."""
    return events.list_changes(conn, caller().scope, event_id, **page)


def _change_lane(event_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    with transaction(caller().name) as conn:
        return events.change_lane(conn, caller().scope, event_id, changes)


@blp.route("/blocks", methods=["POST"])
@organisations_only
@blp.arguments(SeatList)
@blp.response(204)
def block_seats(given: dict[str, Any], event_id: int) -> None:
    """Set free seats aside; if one is held or sold, none."""
    with transaction(caller().name) as conn:
        events.block_seats(conn, caller().scope, event_id, given["seats"], block=True)


@blp.route("/blocks", methods=["DELETE"])
@organisations_only
@blp.arguments(SeatList)
@blp.response(204)
def unblock_seats(given: dict[str, Any], event_id: int) -> None:
    """Give seats that were set aside back to the sale."""
    with transaction(caller().name) as conn:
        events.block_seats(conn, caller().scope, event_id, given["seats"], block=False)
