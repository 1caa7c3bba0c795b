"""Seating plans: import, versions, pictures."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from flask import Response, abort, request
from marshmallow import fields

from db.catalogue import plans
from db.catalogue.plan_imports import Wanted
from db.catalogue.plan_pictures import draw_plan, draw_seats, stored_focus
from db.catalogue.plan_reports import refuse_warnings
from db.catalogue.seating import MAX_BYTES, Plan, read_plan
from db.connections import Conn, autocommit, transaction
from db.runtime.errors import Busy
from web.api.plan_imports import PlanImport, import_later
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import FOCAL_SOURCE, PICTURE, PLAN_WARNING
from web.support.fields import Answer, Name, OneOf, QueryBoolean, Schema, StrictInteger
from web.support.idempotency import KEY_HEADER, answer_once

blp = Blueprint("plans", __name__, url_prefix="/v1", description="Seating plans")


class PlanCategory(Answer):
    """A category of seats."""

    category = StrictInteger(metadata={"description": "its number: 1, 2, 3 … in the file's order"})
    name = fields.String(metadata={"description": "the category's name"})
    color = fields.String()
    seats = StrictInteger(metadata={"description": "how many it has"})


class PlanCounts(Answer):
    """Seats by kind."""

    seats = StrictInteger(metadata={"description": "all of them"})
    accessible = StrictInteger(metadata={"description": "places for wheelchairs"})
    companion = StrictInteger(metadata={"description": "places beside them"})
    restricted_view = StrictInteger(metadata={"description": "seats with a restricted view"})
    standing = StrictInteger(metadata={"description": "standing places"})


class PlanFocalPoint(Answer):
    """The point near which seats are best; null: the best are the first of the file."""

    x = fields.Float()
    y = fields.Float()
    source = OneOf(FOCAL_SOURCE)


class PlanZone(Answer):
    """A zone; those of one name are one."""

    name = fields.String(metadata={"description": "as printed"})
    seats = StrictInteger(metadata={"description": "how many it has"})
    rows = StrictInteger(metadata={"description": "how many it has"})
    best_row = fields.String(metadata={"description": "the row of its best seat"})


class PlanGuess(Answer):
    """What the name of a category was taken for. Overrule it with `accessible`, `companion` or
    `restricted_view` (true or false) in the category or its seats, or import with guess=false."""

    category = StrictInteger(metadata={"description": "the category's number"})
    name = fields.String(metadata={"description": "the category's name"})
    accessible = fields.Boolean(metadata={"description": "taken for places for wheelchairs"})
    companion = fields.Boolean(metadata={"description": "taken for places beside them"})
    restricted_view = fields.Boolean(metadata={"description": "taken for a restricted view"})
    seats = StrictInteger(metadata={"description": "that have the flags from the name alone"})
    doubt = fields.String(
        allow_none=True,
        metadata={"description": "why nothing was taken from the name; null: something was"},
    )


class PlanWarning(Answer):
    """Something that may not be meant so."""

    kind = OneOf(PLAN_WARNING)
    path = fields.String(metadata={"description": "where in the file, as in errors"})
    message = fields.String(metadata={"description": "for a person; it follows the path"})
    seats = fields.List(fields.String(), metadata={"description": "guids of up to 20 of them"})


class PlanChange(Answer):
    """The seats that one kind of change met."""

    count = StrictInteger(metadata={"description": "how many"})
    seats = fields.List(fields.String(), metadata={"description": "guids, up to 500"})


class PlanChanges(Answer):
    """By guid. A seat may have moved and be renamed; stayed: nothing about it changed."""

    since_version = StrictInteger(metadata={"description": "the number of the version before"})
    stayed = fields.Nested(PlanChange, metadata={"description": "nothing about them changed"})
    came = fields.Nested(PlanChange, metadata={"description": "only this version has them"})
    went = fields.Nested(PlanChange, metadata={"description": "only the version before has them"})
    moved = fields.Nested(PlanChange, metadata={"description": "to another place in the drawing"})
    renamed = fields.Nested(PlanChange, metadata={"description": "zone, row or number"})
    changed = fields.Nested(PlanChange, metadata={"description": "category or flags"})


class SoldSeatsGone(Answer):
    """Seats of an event that are held or sold and that this version has not: the event cannot be
    moved to it."""

    event_id = StrictInteger()
    name = fields.String(metadata={"description": "the event's name"})
    version = StrictInteger(metadata={"description": "the number of the version that it has"})
    seats = fields.List(fields.String(), metadata={"description": "their guids"})


class PlanVersion(Answer):
    """What was understood of an imported plan."""

    id = StrictInteger(metadata={"description": "the plan's id"})
    version = StrictInteger()
    version_id = StrictInteger(metadata={"description": "for plan_version_id of events"})
    name = fields.String(metadata={"description": "the plan's name"})
    created_at = fields.AwareDateTime()
    seats = StrictInteger(metadata={"description": "how many it has"})
    categories = fields.List(
        fields.Nested(PlanCategory), metadata={"description": "in the file's order"}
    )
    counts = fields.Nested(PlanCounts)
    focal_point = fields.Nested(
        PlanFocalPoint,
        allow_none=True,
        metadata={"description": "null: the best seats are the first of the file"},
    )
    zones = fields.List(fields.Nested(PlanZone), metadata={"description": "the best one first"})
    guesses = fields.List(
        fields.Nested(PlanGuess), metadata={"description": "what names were taken for"}
    )
    warnings = fields.List(
        fields.Nested(PlanWarning), metadata={"description": "what may not be meant so"}
    )
    changes = fields.Nested(
        PlanChanges, allow_none=True, metadata={"description": "null: it is the first version"}
    )
    sold_seats_gone = fields.List(
        fields.Nested(SoldSeatsGone), metadata={"description": "by event"}
    )


class PlanSummary(Answer):
    """A plan with its latest version."""

    id = StrictInteger(metadata={"description": "the plan's id"})
    venue_id = StrictInteger()
    name = fields.String(metadata={"description": "the plan's name"})
    version = StrictInteger(
        allow_none=True, metadata={"description": "the latest version's number; null: none yet"}
    )
    version_id = StrictInteger(
        allow_none=True, metadata={"description": "the latest version's id; null: none yet"}
    )
    seats = StrictInteger(
        allow_none=True, metadata={"description": "how many it has; null: none yet"}
    )


class VersionSummary(Answer):
    """A version of a plan."""

    id = StrictInteger(metadata={"description": "for plan_version_id of events"})
    version = StrictInteger()
    seats = StrictInteger(metadata={"description": "how many it has"})
    created_at = fields.AwareDateTime()
    events = StrictInteger(metadata={"description": "that are pinned to it"})


STRICT = {"description": "refuse the plan if there is anything to warn of"}
GUESS = {"description": "take flags of seats from the names of categories where none are given"}


class ImportQuery(Schema):
    """How a plan is read."""

    strict = QueryBoolean(load_default=False, metadata=STRICT)
    guess = QueryBoolean(load_default=True, metadata=GUESS)


class PlanQuery(ImportQuery):
    """How a plan is read, and called."""

    name = Name(load_default=None, metadata={"description": "default: the name in the file"})


class VersionQuery(ImportQuery):
    """How a plan is read, and compared."""

    unrelated = QueryBoolean(
        load_default=False,
        metadata={"description": "the plan may have few seats in common with the version before"},
    )


class PictureQuery(Schema):
    """What is drawn."""

    color = OneOf(
        PICTURE,
        load_default="both",
        metadata={"description": "by category, by what is sold first in each, or both pictures"},
    )


class PreviewQuery(PictureQuery):
    """What is drawn, and how the plan is read."""

    guess = QueryBoolean(load_default=True, metadata=GUESS)


IMPORT_SECONDS = 30
AT_ONCE = 2**20
"""Bytes of a plan that is read while its request waits: about 6,000 seats."""
IMPORTING = Lock()


@contextmanager
def importing() -> Iterator[None]:
    """Allow one upload at a time: it may have 64 MiB, and a picture is drawn of it at once.

    Errors: Busy.
    """
    if not IMPORTING.acquire(blocking=False):
        raise Busy("Another plan is being imported: try again shortly.")
    try:
        yield
    finally:
        IMPORTING.release()


ROWS = {"A": "Best", "B": "Rest"}
SMALL_PLAN = {
    "name": "Small stage",
    "size": {"width": 200, "height": 100},
    "focal_point": {"x": 100, "y": 0},
    "categories": [{"name": "Best", "color": "#d9382c"}, {"name": "Rest", "color": "#2d6cdf"}],
    "zones": [
        {
            "name": "Stalls",
            "position": {"x": 20, "y": 30},
            "rows": [
                {
                    "row_number": row,
                    "position": {"x": 0, "y": 20 * place},
                    "seats": [
                        {
                            "seat_guid": f"{row}-{number}",
                            "seat_number": str(number),
                            "category": category,
                            "position": {"x": 20 * number, "y": 0},
                        }
                        for number in range(1, 7)
                    ],
                }
                for place, (row, category) in enumerate(ROWS.items())
            ],
        }
    ],
}
LATER: dict[str, Any] = {
    "schema": PlanImport,
    "description": "The plan is large, and read in the background: read the import until it ends.",
    "headers": {
        "Location": {"description": "the path of the import", "schema": {"type": "string"}}
    },
    "success": True,
}
PLAN_BODY = {
    "description": (
        "The open JSON of pretix' seating editor, up to 64 MiB (an import of more than 1 MiB is "
        "answered by 202 and read in the background): `{name, size {width, height}, "
        "categories [{name, color}], zones [{name, position {x, y}, rows [{row_number, row_label, "
        "position, seats [{seat_guid, seat_number, category, position}]}]}]}`. Positions add up. "
        "Usher's extensions, all optional: of the plan `focal_point {x, y}`, the stage, which "
        "ranks the seats; of zones and rows `general_admission`, standing places; of seats and "
        "categories `accessible` (a place for a wheelchair), `companion` (the seat beside it) and "
        "`restricted_view`, each true or false; in `row_label` %s stands for the row's number."
    ),
    "required": True,
    "content": {"application/json": {"schema": {"type": "object"}, "example": SMALL_PLAN}},
}


@blp.route("/venues/<id:venue_id>/plans", methods=["POST"])
@needs("plans.write")
@blp.doc(requestBody=PLAN_BODY, parameters=[KEY_HEADER])
@blp.arguments(PlanQuery, location="query")
@blp.response(201, PlanVersion)
@blp.alt_response(202, **LATER)
@blp.conflicts("in_flight", "imports_under_way")
def add_plan(query: dict[str, Any], venue_id: int) -> Response:
    """Import a seating plan: its first version. The answer says what was understood."""
    scope = caller().scope
    with autocommit() as conn:
        plans.check_venue(conn, scope, venue_id)
    with importing():
        source = _read_body()
        if len(source) > AT_ONCE:
            asked = [query["name"], *_asked(query), _hash(source)]
            return import_later(source, _want(query, venue_id=venue_id), asked)
        return _import_plan(source, query, scope, venue_id)


def _import_plan(
    source: bytes, query: dict[str, Any], scope: int | None, venue_id: int
) -> Response:
    plan = _read_plan(source, query)
    name = query["name"] or plan.name

    def work() -> dict[str, Any]:
        plan_id = plans.add_plan(conn, scope, venue_id, name)
        return plans.add_version(conn, scope, plan_id, plan, source)

    with transaction(caller().name, IMPORT_SECONDS) as conn:
        return answer_once(conn, [name, *_asked(query), _hash(source)], work, PlanVersion())


@blp.route("/venues/<id:venue_id>/plans")
@needs("plans.read")
@blp.paginated(PlanSummary)
def list_plans(conn: Conn, page: dict[str, int], venue_id: int) -> list[dict[str, Any]]:
    """The plans of a venue."""
    return plans.list_plans(conn, caller().scope, venue_id, **page)


@blp.route("/plans/<id:plan_id>")
@needs("plans.read")
@blp.response(200, PlanSummary)
def get_plan(plan_id: int) -> dict[str, Any]:
    """A plan with its latest version."""
    with autocommit() as conn:
        return plans.get_plan(conn, caller().scope, plan_id)


@blp.route("/plans/<id:plan_id>/versions", methods=["POST"])
@needs("plans.write")
@blp.doc(requestBody=PLAN_BODY, parameters=[KEY_HEADER])
@blp.arguments(VersionQuery, location="query")
@blp.response(201, PlanVersion)
@blp.alt_response(202, **LATER)
@blp.conflicts("in_flight", "unrelated_plan", "imports_under_way")
def add_plan_version(query: dict[str, Any], plan_id: int) -> Response:
    """Import the plan again as its next version. Events stay with the version that they have until
    they are moved. The answer says what changed, by guid."""
    scope = caller().scope
    with autocommit() as conn:
        plans.check_plan(conn, scope, plan_id)
    with importing():
        source = _read_body()
        if len(source) > AT_ONCE:
            asked = [*_asked(query), _hash(source)]
            return import_later(source, _want(query, plan_id=plan_id), asked)
        return _import_version(source, query, scope, plan_id)


def _import_version(
    source: bytes, query: dict[str, Any], scope: int | None, plan_id: int
) -> Response:
    plan = _read_plan(source, query)
    with transaction(caller().name, IMPORT_SECONDS) as conn:
        return answer_once(
            conn,
            [*_asked(query), _hash(source)],
            lambda: plans.add_version(
                conn, scope, plan_id, plan, source, unrelated=query["unrelated"]
            ),
            PlanVersion(),
        )


@blp.route("/plans/<id:plan_id>/versions")
@needs("plans.read")
@blp.paginated(VersionSummary)
def list_plan_versions(conn: Conn, page: dict[str, int], plan_id: int) -> list[dict[str, Any]]:
    """The versions of a plan, the first one first."""
    return plans.list_versions(conn, caller().scope, plan_id, **page)


@blp.route("/plans/<id:plan_id>/versions/<id:version_id>")
@needs("plans.read")
@blp.response(200, PlanVersion)
def get_plan_version(plan_id: int, version_id: int) -> dict[str, Any]:
    """A version of a plan with what was understood of it."""
    with autocommit() as conn:
        return plans.get_version(conn, caller().scope, plan_id, version_id)


SVG = {"type": "string", "description": "SVG"}


@blp.route("/plans/<id:plan_id>/versions/<id:version_id>/picture")
@needs("plans.read")
@blp.arguments(PictureQuery, location="query")
@blp.response(200, SVG, content_type="image/svg+xml")
def draw_plan_version(query: dict[str, Any], plan_id: int, version_id: int) -> Response:
    """A picture of a version: its categories, and which seats are sold first."""
    with autocommit() as conn:
        stored = plans.get_version(conn, caller().scope, plan_id, version_id)
        seats = plans.draw_version(conn, caller().scope, plan_id, version_id)
    return _picture(draw_seats(stored["name"], seats, stored_focus(stored), query["color"]))


@blp.route("/plan-preview", methods=["POST"])
@needs("plans.write")
@blp.arguments(PreviewQuery, location="query")
@blp.doc(requestBody=PLAN_BODY)
@blp.response(200, SVG, content_type="image/svg+xml")
def preview_plan(query: dict[str, Any]) -> Response:
    """A picture of a plan before it is imported; nothing is stored."""
    with importing():
        plan = read_plan(_read_body(), guess=query["guess"])
        return _picture(draw_plan(plan, query["color"]))


def _picture(svg: bytes) -> Response:
    answer = Response(svg, mimetype="image/svg+xml")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _want(
    query: dict[str, Any], *, venue_id: int | None = None, plan_id: int | None = None
) -> Wanted:
    return Wanted(
        venue_id=venue_id,
        plan_id=plan_id,
        name=query.get("name"),
        strict=query["strict"],
        guess=query["guess"],
        unrelated=query.get("unrelated", False),
    )


def _read_body() -> bytes:
    request.max_content_length = MAX_BYTES
    source = request.get_data(cache=False)
    try:
        source.decode()
    except UnicodeDecodeError:
        abort(400, "The body is not UTF-8.")
    return source


def _read_plan(source: bytes, query: dict[str, Any]) -> Plan:
    """Errors: PlanError; if the import is strict also for warnings."""
    plan = read_plan(source, guess=query["guess"])
    if query["strict"]:
        refuse_warnings(plan)
    return plan


def _asked(query: dict[str, Any]) -> list[str]:
    """What the query says, for the fingerprint of a repeated request."""
    return [name for name in ("strict", "guess", "unrelated") if query.get(name)]


def _hash(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()
