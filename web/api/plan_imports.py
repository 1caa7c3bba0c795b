"""Imports of large plans: answered at once, read in the background."""

from typing import Any

from flask import Response
from marshmallow import fields

from db.catalogue import plan_imports, plans
from db.catalogue.plan_imports import Wanted
from db.catalogue.seating import PlanError, find_excess
from db.connections import Conn, autocommit, transaction
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import IMPORT_STATE
from web.support.errors import describe_problem, in_body
from web.support.fields import Answer, OneOf, StrictInteger
from web.support.idempotency import answer_once
from web.support.problems import Problem
from web.support.rate_limits import spend_plan_import

blp = Blueprint("plan_imports", __name__, url_prefix="/v1", description="Imports of large plans")

STORING_SECONDS = 30
POLL_AFTER_S = 1.0


class PlanImportLinks(Answer):
    """Where to look: paths."""

    self = fields.String(metadata={"description": "the import"})


class PlanImportSummary(Answer):
    """An import of a large plan."""

    id = StrictInteger(metadata={"description": "the import's id"})
    venue_id = StrictInteger()
    plan_id = StrictInteger(
        allow_none=True, metadata={"description": "the plan's id; null: a new plan, not stored yet"}
    )
    version_id = StrictInteger(
        allow_none=True,
        metadata={"description": "for plan_version_id of events; null: none is stored"},
    )
    state = OneOf(IMPORT_STATE, metadata={"description": "how far it is"})
    progress = fields.Float(
        metadata={"description": "the share of the work that is done, from 0 to 1"}
    )
    created_at = fields.AwareDateTime()
    finished_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was done or failed; null: not yet"}
    )
    problem = fields.Nested(
        Problem,
        allow_none=True,
        metadata={"description": "as for a plan that is read at once; null: it has not failed"},
    )
    links = fields.Nested(PlanImportLinks)


class PlanImport(PlanImportSummary):
    """An import of a large plan, and what came of it."""

    poll_after_s = fields.Float(
        allow_none=True,
        metadata={"description": "seconds until it is to be read again; null: it has ended"},
    )
    version = fields.Nested(
        "PlanVersion",
        allow_none=True,
        metadata={"description": "as for a plan that is read at once; null: none is stored"},
    )


@blp.route("/plan-imports/<id:import_id>")
@needs("plans.read")
@blp.response(200, PlanImport)
def get_plan_import(import_id: int) -> dict[str, Any]:
    """The progress of an import, and then what came of it."""
    with autocommit() as conn:
        return _find(conn, caller().scope, import_id)


@blp.route("/venues/<id:venue_id>/plan-imports")
@needs("plans.read")
@blp.paginated(PlanImportSummary)
def list_plan_imports(conn: Conn, page: dict[str, int], venue_id: int) -> list[dict[str, Any]]:
    """The imports of large plans of the last 30 days, the latest first."""
    found = plan_imports.list_imports(conn, caller().scope, venue_id, **page)
    return [_describe(row) for row in found]


def import_later(source: bytes, wanted: Wanted, asked: list[Any]) -> Response:
    """Store a large plan's file, and say where its import can be read. asked: what makes the
    request another one.

    Errors: TooMany; PlanError for a file that is not even parsed; NotFound; Conflict
    imports_under_way.
    """
    spend_plan_import(caller().id)
    if excess := list(find_excess(source)):
        raise PlanError(excess)
    scope = caller().scope

    def start(conn: Conn) -> dict[str, Any]:
        return _find(conn, scope, plan_imports.start_import(conn, scope, wanted, source))

    with transaction(caller().name, STORING_SECONDS) as conn:
        answer = answer_once(conn, asked, lambda: start(conn), PlanImport(), 202)
    if answer.status_code == 202:
        answer.headers["Location"] = answer.get_json()["links"]["self"]
    return answer


def _find(conn: Conn, scope: int | None, import_id: int) -> dict[str, Any]:
    row = plan_imports.get_import(conn, scope, import_id)
    has_ended = row["finished_at"] is not None
    version = (
        plans.get_version(conn, scope, row["plan_id"], row["version_id"])
        if row["version_id"]
        else None
    )
    return _describe(row) | {
        "poll_after_s": None if has_ended else POLL_AFTER_S,
        "version": version,
    }


def _describe(row: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/plan-imports/{row['id']}"
    failure = row.pop("failure")
    return row | {
        "problem": _describe_failure(failure, path) if failure else None,
        "links": {"self": path},
    }


def _describe_failure(failure: dict[str, Any], path: str) -> dict[str, Any]:
    """The problem that a plan read at once would have been answered with."""
    errors, reason = failure.get("errors"), failure.get("conflict_reason")
    return describe_problem(
        422 if errors else 409 if reason else 500,
        failure["message"],
        instance=path,
        errors=in_body(errors) if errors else None,
        conflict_reason=reason,
    )
