"""Venues and their seating plans."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from flask import Response, abort, request
from marshmallow import fields

from db.catalogue import plans, venues
from db.catalogue.seating import MAX_BYTES, Plan, read_plan
from db.connections import Conn, autocommit, transaction
from db.runtime.errors import Busy, InvalidRequest
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Name, Schema, StrictInteger, TimeZone
from web.support.idempotency import KEY_HEADER, answer_once

blp = Blueprint("venues", __name__, url_prefix="/v1", description="Venues and their seating plans")


class NewVenue(Schema):
    name = Name(required=True)
    city = Name(least=0, load_default="")
    time_zone = TimeZone(required=True)
    organisation_id = StrictInteger(
        least=1, load_default=None, metadata={"description": "required for operators"}
    )


class Venue(Schema):
    id = StrictInteger()
    organisation_id = StrictInteger()
    name = fields.String()
    city = fields.String()
    time_zone = fields.String()


class PlanCategory(Schema):
    category = StrictInteger()
    name = fields.String()
    color = fields.String()
    seats = StrictInteger()


class PlanVersion(Schema):
    id = StrictInteger()
    version = StrictInteger()
    version_id = StrictInteger()
    name = fields.String()
    seats = StrictInteger()
    categories = fields.List(fields.Nested(PlanCategory))


class PlanQuery(Schema):
    name = Name(load_default=None, metadata={"description": "default: the name in the file"})


IMPORT_SECONDS = 30
IMPORTING = Lock()


@contextmanager
def importing() -> Iterator[None]:
    """Allow one import at a time: it may take seconds of CPU and hundreds of megabytes.

    Errors: Busy.
    """
    if not IMPORTING.acquire(blocking=False):
        raise Busy("Another plan is being imported: try again shortly.")
    try:
        yield
    finally:
        IMPORTING.release()


PLAN_BODY = {
    "description": "The open JSON of pretix' seating editor, up to 64 MiB.",
    "required": True,
    "content": {"application/json": {"schema": {"type": "object"}}},
}


@blp.route("/venues", methods=["POST"])
@organisations_only
@blp.arguments(NewVenue)
@blp.idempotent(Venue, key_required=False)
def add_venue(conn: Conn, given: dict[str, Any]) -> dict[str, Any]:
    """Add a venue."""
    owner = given.pop("organisation_id") or caller().organisation_id
    if owner is None:
        raise InvalidRequest("Name the organisation.", path="organisation_id")
    if caller().scope not in (None, owner):
        raise InvalidRequest("That is not your organisation.", path="organisation_id")
    return venues.add_venue(conn, owner, **given)


@blp.route("/venues")
@organisations_only
@blp.paginated(Venue)
def list_venues(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """The venues of your organisation."""
    return venues.list_venues(conn, caller().scope, **page)


@blp.route("/venues/<id:venue_id>/plans", methods=["POST"])
@organisations_only
@blp.doc(requestBody=PLAN_BODY, parameters=[KEY_HEADER])
@blp.arguments(PlanQuery, location="query")
@blp.response(201, PlanVersion)
def add_plan(query: dict[str, Any], venue_id: int) -> Response:
    """Import a seating plan: its first version."""
    scope = caller().scope
    with autocommit() as conn:
        plans.check_venue(conn, scope, venue_id)
    with importing():
        return _import_plan(query["name"], scope, venue_id)


def _import_plan(given_name: str | None, scope: int | None, venue_id: int) -> Response:
    source, plan = _read_body()
    name = given_name or plan.name

    def work() -> dict[str, Any]:
        plan_id = plans.add_plan(conn, scope, venue_id, name)
        return plans.add_version(conn, scope, plan_id, plan, source)

    with transaction(caller().name, IMPORT_SECONDS) as conn:
        return answer_once(conn, [name, _hash(source)], work, PlanVersion())


@blp.route("/plans/<id:plan_id>/versions", methods=["POST"])
@organisations_only
@blp.doc(requestBody=PLAN_BODY, parameters=[KEY_HEADER])
@blp.response(201, PlanVersion)
def add_version(plan_id: int) -> Response:
    """Import the plan again as its next version; seats that remain keep their numbers."""
    scope = caller().scope
    with autocommit() as conn:
        plans.check_plan(conn, scope, plan_id)
    with importing():
        return _import_version(scope, plan_id)


def _import_version(scope: int | None, plan_id: int) -> Response:
    source, plan = _read_body()
    with transaction(caller().name, IMPORT_SECONDS) as conn:
        return answer_once(
            conn,
            _hash(source),
            lambda: plans.add_version(conn, scope, plan_id, plan, source),
            PlanVersion(),
        )


def _read_body() -> tuple[bytes, Plan]:
    request.max_content_length = MAX_BYTES
    source = request.get_data(cache=False)
    try:
        source.decode()
    except UnicodeDecodeError:
        abort(400, "The body is not UTF-8.")
    return source, read_plan(source)


def _hash(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()
