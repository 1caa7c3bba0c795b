"""Comparing the gateway's list with the tables: runs and what they found, for operators."""

from typing import Any

from marshmallow import fields

from db.connections import autocommit
from db.payments import reconciliations
from web.support.auth import operators_only
from web.support.blueprint import Blueprint, Page, page_of
from web.support.fields import Shape, Whole

blp = Blueprint(
    "reconciliations",
    __name__,
    url_prefix="/v1/reconciliations",
    description="Comparing with the gateway",
)


class Totals(Shape):
    """In minor units: here, as the tables have it; there, as the gateway has it."""

    currency = fields.String()
    captured_here = Whole()
    captured_there = Whole()
    refunded_here = Whole()
    refunded_there = Whole()


class Reconciliation(Shape):
    """Totals are from when each page was compared: before what was found was repaired."""

    id = Whole()
    gateway_account_id = Whole(metadata={"description": "the first that shares this account there"})
    cause = fields.String(metadata={"description": "recent, daily or asked"})
    requested_by = fields.String()
    window_from = fields.AwareDateTime()
    window_to = fields.AwareDateTime()
    state = fields.String(metadata={"description": "running, finished or abandoned"})
    phase = fields.String(metadata={"description": "what it compares, or compared last"})
    checked = Whole()
    foreign_objects = Whole(metadata={"description": "payments of others on the same account"})
    differences = Whole()
    repairs = Whole(metadata={"description": "of the differences, sent to be repaired"})
    dead_letters = Whole(metadata={"description": "of the differences, handed to a person"})
    started_at = fields.AwareDateTime()
    finished_at = fields.AwareDateTime(allow_none=True)
    totals = fields.List(fields.Nested(Totals))


class Difference(Shape):
    """Open until a later run finds it gone."""

    id = Whole()
    kind = fields.String()
    subject = fields.String(metadata={"description": "our id, or the gateway's where we have none"})
    made_at = fields.AwareDateTime()
    event_id = Whole(allow_none=True)
    booking_id = fields.UUID(allow_none=True)
    payment_id = fields.UUID(allow_none=True)
    here = fields.Dict(allow_none=True, metadata={"description": "null: we do not have it"})
    there = fields.Dict(allow_none=True, metadata={"description": "null: the gateway does not"})
    repair = fields.String(allow_none=True, metadata={"description": "the task that may mend it"})
    repairs = Whole(metadata={"description": "how often it was tried"})
    dead_letter_id = Whole(allow_none=True)
    found_by = Whole(metadata={"description": "the run that saw it first"})
    found_at = fields.AwareDateTime()
    seen_by = Whole(metadata={"description": "the run that saw it last"})
    seen_at = fields.AwareDateTime()
    resolved_at = fields.AwareDateTime(allow_none=True)


class DifferencePage(Page):
    open = fields.Boolean(
        load_default=False, metadata={"description": "only those that are not gone yet"}
    )


@blp.route("")
@operators_only
@blp.arguments(Page, location="query")
@blp.response(200, Reconciliation(many=True))
def list_runs(page: dict[str, int]) -> Any:
    """Runs, latest first."""
    after, limit = page["starting_after"], page["limit"]
    with autocommit() as conn:
        rows = reconciliations.list_runs(conn, after, limit + 1)
    return page_of(rows, limit)


@blp.route("/<id:reconciliation_id>")
@operators_only
@blp.response(200, Reconciliation)
def get_run(reconciliation_id: int) -> dict[str, Any]:
    """One run, and how far it has come."""
    with autocommit() as conn:
        return reconciliations.find_run(conn, reconciliation_id)


@blp.route("/<id:reconciliation_id>/differences")
@operators_only
@blp.arguments(DifferencePage, location="query")
@blp.response(200, Difference(many=True))
def list_differences_of_run(page: dict[str, Any], reconciliation_id: int) -> Any:
    """What a run saw first, or last, latest first."""
    return _differences(page, reconciliation_id)


@blp.route("/differences")
@operators_only
@blp.arguments(DifferencePage, location="query")
@blp.response(200, Difference(many=True))
def list_differences(page: dict[str, Any]) -> Any:
    """What all runs saw, latest first."""
    return _differences(page, None)


def _differences(page: dict[str, Any], run_id: int | None) -> Any:
    limit = page["limit"]
    with autocommit() as conn:
        rows = reconciliations.list_differences(
            conn,
            run_id,
            open=page["open"],
            starting_after=page["starting_after"],
            limit=limit + 1,
        )
    return page_of(rows, limit, **({"open": "true"} if page["open"] else {}))
