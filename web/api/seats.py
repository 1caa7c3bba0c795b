"""The chart of an event, and its availability."""

from flask import Flask, Response, current_app, request
from marshmallow import fields

from db.catalogue import availability
from db.connections import autocommit
from web.api.events import public_events
from web.support.blueprint import Blueprint
from web.support.fields import Answer, StrictInteger
from web.support.snapshots import Snapshots

blp = Blueprint(
    "seats", __name__, url_prefix="/v1/events/<id:event_id>", description="Chart and availability"
)


class ChartSeat(Answer):
    """A seat as it is drawn."""

    guid = fields.String()
    category = StrictInteger(metadata={"description": "the number of its category"})
    zone = fields.String()
    row = fields.String()
    row_label = fields.String()
    number = fields.String()
    x = fields.Float()
    y = fields.Float()
    accessible = fields.Boolean(metadata={"description": "a place for a wheelchair"})
    companion = fields.Boolean(metadata={"description": "a place beside one for a wheelchair"})
    restricted = fields.Boolean(metadata={"description": "the view is restricted"})


class Chart(Answer):
    """All seats of a plan version."""

    seats = fields.List(fields.Nested(ChartSeat), metadata={"description": "the best ones first"})


class CategoryCounts(Answer):
    """Seats of a category by their state."""

    category = StrictInteger(metadata={"description": "the category's number"})
    free = StrictInteger(metadata={"description": "free for all"})
    kept = StrictInteger(metadata={"description": "free for who asks for places for wheelchairs"})
    accessible = StrictInteger(metadata={"description": "free places for wheelchairs"})
    held = StrictInteger(metadata={"description": "not paid yet"})
    sold = StrictInteger(metadata={"description": "paid"})
    blocked = StrictInteger(metadata={"description": "not for sale"})


class Availability(Answer):
    """How many seats are free, and which are not."""

    as_of = fields.AwareDateTime(metadata={"description": "when they were counted"})
    plan_version_id = StrictInteger()
    categories = fields.List(
        fields.Nested(CategoryCounts), metadata={"description": "by their numbers"}
    )
    taken = fields.List(
        fields.String(), metadata={"description": "guids of seats that cannot be booked now"}
    )


A_DAY = 86_400
CHART_CACHED = "public, max-age=60"
AVAILABILITY_CACHED = "public, max-age=10"


def _draw_chart(plan_version_id: int, _: bytes | None) -> bytes:
    with autocommit() as conn:
        return availability.draw_chart(conn, plan_version_id)


def _count_seats(event_id: int, _: bytes | None) -> bytes:
    with autocommit() as conn:
        return availability.count_seats(conn, event_id)


def keep_documents(app: Flask) -> None:
    # A chart of 80,000 seats has 14 MB, so only a few are kept.
    app.extensions["charts"] = Snapshots(_draw_chart, seconds=A_DAY, most=8)
    app.extensions["free_seats"] = Snapshots(_count_seats, seconds=2, most=50)


def _kept(name: str, id: int) -> bytes:
    documents: Snapshots[bytes] = current_app.extensions[name]
    return documents.get(id)


@blp.route("/seats")
@blp.response(200, Chart)
@blp.alt_response(304, description="You have it already")
def get_chart(event_id: int) -> Response:
    """All seats. The chart changes only when the event is moved to another plan version, which
    `/availability` tells; ask again with its `ETag`."""
    plan_version_id = public_events().get(event_id).plan_version_id
    answer = Response(mimetype="application/json")
    tag = chart_tag(plan_version_id)
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = CHART_CACHED
    if request.if_none_match.contains_weak(tag):  # proxies that compress make tags weak
        answer.status_code = 304
    else:
        answer.data = _kept("charts", plan_version_id)
    return answer


def chart_tag(plan_version_id: int) -> str:
    return f"plan-version-{plan_version_id}"


@blp.route("/availability")
@blp.response(200, Availability)
def get_availability(event_id: int) -> Response:
    """The number of free seats in each category, and the seats that are taken."""
    answer = Response(_kept("free_seats", event_id), mimetype="application/json")
    answer.headers["Cache-Control"] = AVAILABILITY_CACHED
    return answer
