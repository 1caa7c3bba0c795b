"""The chart of an event, and its availability."""

from flask import Flask, Response, current_app, request

from db.catalogue import availability
from db.connections import autocommit
from web.support.blueprint import Blueprint
from web.support.snapshots import Snapshots

blp = Blueprint(
    "seats", __name__, url_prefix="/v1/events/<id:event_id>", description="Chart and availability"
)

A_DAY = 86_400
OLDEST_AVAILABILITY = 10


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
@blp.response(200, {"type": "object"})
@blp.alt_response(304, description="You have it already")
def get_chart(event_id: int) -> Response:
    """All seats. The chart never changes for a plan version, so keep it."""
    with autocommit() as conn:
        plan_version_id = availability.get_plan_version(conn, event_id)
    answer = Response(mimetype="application/json")
    tag = f"plan-version-{plan_version_id}"
    answer.set_etag(tag)
    answer.cache_control.public, answer.cache_control.max_age = True, A_DAY
    if request.if_none_match.contains_weak(tag):  # proxies that compress make tags weak
        answer.status_code = 304
    else:
        answer.data = _kept("charts", plan_version_id)
    return answer


@blp.route("/availability")
@blp.response(200, {"type": "object"})
def get_availability(event_id: int) -> Response:
    """The number of free seats in each category, and the seats that are taken."""
    answer = Response(_kept("free_seats", event_id), mimetype="application/json")
    answer.cache_control.public = True
    answer.cache_control.max_age = OLDEST_AVAILABILITY
    return answer
