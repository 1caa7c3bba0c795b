"""Control of a sale by its organiser: the lane of the event, and blocked seats."""

from typing import Any

from marshmallow import fields, validate

from db.catalogue import events
from db.connections import Conn, transaction
from db.runtime.errors import NotAllowed
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import Answer, Schema, StrictInteger, StrictNumber, Text, unique

blp = Blueprint(
    "lanes", __name__, url_prefix="/v1/events/<id:event_id>", description="Control of a sale"
)


OWN_WEIGHTS = (0.1, 10.0)
"""Weights that an organisation may set itself: more would take the work of others' events."""


class LaneFields(Schema):
    """What is to be changed; fields that are left out stay."""

    weight = StrictNumber(
        validate=validate.Range(min=0.01, max=100),
        metadata={
            "description": "the share of the drain's work beside other events; organisers may set "
            f"{OWN_WEIGHTS[0]} to {OWN_WEIGHTS[1]}, operators more"
        },
    )
    in_flight_cap = StrictInteger(
        least=1,
        most=1_000_000,
        allow_none=True,
        metadata={"description": "unpaid bookings and open passes at once; null: no cap"},
    )

    admission_rate = StrictNumber(
        validate=validate.Range(min=0.01, max=10_000_000),
        allow_none=True,
        metadata={"description": "entries a minute that get seats or a pass; null: no limit"},
    )


class Lane(Answer):
    """How an event's queue is served."""

    id = StrictInteger(metadata={"description": "the event's id"})
    weight = fields.Float(
        metadata={"description": "the share of the drain's work beside other events"}
    )
    paused = fields.Boolean(metadata={"description": "no entry is decided"})
    in_flight_cap = StrictInteger(
        allow_none=True,
        metadata={"description": "unpaid bookings and open passes at once; null: no cap"},
    )
    admission_rate = fields.Float(
        allow_none=True,
        metadata={"description": "entries a minute that get seats or a pass; null: no limit"},
    )


class Change(Answer):
    """A change of a sale, and who made it."""

    id = StrictInteger(metadata={"description": "the id of the line in the audit log"})
    at = fields.AwareDateTime(metadata={"description": "when"})
    actor = fields.String(metadata={"description": "role and id, as in organiser:3"})
    action = fields.String(metadata={"description": "what was done, as in change_lane"})
    detail = fields.Dict(metadata={"description": "by field: {from, to}"})


class SeatList(Schema):
    """Seats of the event."""

    seats = fields.List(
        Text(),
        required=True,
        validate=[validate.Length(min=1, max=1000), unique],
        metadata={"description": "their guids"},
    )


@blp.route("/pause", methods=["POST"])
@needs("sales.write")
@blp.response(200, Lane)
@blp.conflicts("not_opened")
def pause_sale(event_id: int) -> dict[str, Any]:
    """Pause the lane: no entry is decided, but buyers can still join."""
    return _change_lane(event_id, {"paused": True})


@blp.route("/resume", methods=["POST"])
@needs("sales.write")
@blp.response(200, Lane)
@blp.conflicts("not_opened")
def resume_sale(event_id: int) -> dict[str, Any]:
    """Resume a sale that was paused: entries are decided again."""
    return _change_lane(event_id, {"paused": False})


@blp.route("/lane", methods=["PATCH"])
@needs("sales.write")
@blp.arguments(LaneFields, example={"weight": 2, "in_flight_cap": 400, "admission_rate": None})
@blp.response(200, Lane)
@blp.conflicts("not_opened")
def change_lane(given: dict[str, Any], event_id: int) -> dict[str, Any]:
    """Change caps, rate, or weight beside other events."""
    least, most = OWN_WEIGHTS
    if caller().scope is not None and not least <= given.get("weight", 1) <= most:
        raise NotAllowed(f"Only an operator may set a weight below {least} or above {most}.")
    return _change_lane(event_id, given)


@blp.route("/changes")
@needs("events.read")
@blp.paginated(Change, reads="changes read")
def list_sale_changes(conn: Conn, page: dict[str, int], event_id: int) -> list[dict[str, Any]]:
    """Changes of the sale, latest first: pause, weight, caps, rate, state."""
    return events.list_changes(conn, caller().scope, event_id, **page)


def _change_lane(event_id: int, changes: dict[str, Any]) -> dict[str, Any]:
    with transaction(caller().name) as conn:
        return events.change_lane(conn, caller().scope, event_id, changes)


@blp.route("/blocks", methods=["POST"])
@needs("seats.block")
@blp.arguments(SeatList, example={"seats": ["B-5"]})
@blp.response(204)
@blp.conflicts("not_opened", "seats_taken")
def block_seats(given: dict[str, Any], event_id: int) -> None:
    """Block free seats; if one of them is held or sold, none is blocked."""
    with transaction(caller().name) as conn:
        events.block_seats(conn, caller().scope, event_id, given["seats"], block=True)


@blp.route("/blocks", methods=["DELETE"])
@needs("seats.block")
@blp.arguments(SeatList, example={"seats": ["B-5"]})
@blp.response(204)
@blp.conflicts("not_opened", "seats_taken")
def unblock_seats(given: dict[str, Any], event_id: int) -> None:
    """Unblock seats, so that they are on sale again."""
    with transaction(caller().name) as conn:
        events.block_seats(conn, caller().scope, event_id, given["seats"], block=False)
