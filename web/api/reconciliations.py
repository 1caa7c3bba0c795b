"""Reconciliations, for operators: runs and the differences that they found."""

from typing import Any

from marshmallow import fields

from db.connections import Conn, autocommit
from db.payments import reconciliations
from web.support.auth import operators_only
from web.support.blueprint import Blueprint
from web.support.fields import Schema, StrictInteger
from web.support.pages import Page

blp = Blueprint(
    "reconciliations",
    __name__,
    url_prefix="/v1/reconciliations",
    description="Comparing the gateway with the tables",
)


class Totals(Schema):
    """In minor units. here: as in the tables; there: as at the gateway."""

    currency = fields.String()
    captured_here = StrictInteger()
    captured_there = StrictInteger()
    refunded_here = StrictInteger()
    refunded_there = StrictInteger()


class Reconciliation(Schema):
    """A run. Totals are from the comparison of each page, before differences were repaired."""

    id = StrictInteger()
    gateway_account_id = StrictInteger(
        metadata={"description": "the first of ours that shares this account at the gateway"}
    )
    cause = fields.String(metadata={"description": "recent, daily or asked"})
    requested_by = fields.String()
    window_from = fields.AwareDateTime()
    window_to = fields.AwareDateTime()
    state = fields.String(metadata={"description": "running, finished or abandoned"})
    phase = fields.String(metadata={"description": "what it compares now, or compared last"})
    checked = StrictInteger()
    foreign_objects = StrictInteger(
        metadata={"description": "payments of others on the same account"}
    )
    differences = StrictInteger()
    repairs = StrictInteger(metadata={"description": "differences for which a repair was started"})
    dead_letters = StrictInteger(
        metadata={"description": "differences for which a person is needed"}
    )
    started_at = fields.AwareDateTime()
    finished_at = fields.AwareDateTime(allow_none=True)
    totals = fields.List(fields.Nested(Totals))


class Difference(Schema):
    """A difference; open until a later run no longer finds it."""

    id = StrictInteger()
    kind = fields.String()
    subject = fields.String(metadata={"description": "our id, or the gateway's where we have none"})
    made_at = fields.AwareDateTime()
    event_id = StrictInteger(allow_none=True)
    booking_id = fields.UUID(allow_none=True)
    payment_id = fields.UUID(allow_none=True)
    here = fields.Dict(allow_none=True, metadata={"description": "null: we do not have it"})
    there = fields.Dict(allow_none=True, metadata={"description": "null: the gateway does not"})
    repair = fields.String(allow_none=True, metadata={"description": "the task that may repair it"})
    repairs = StrictInteger(metadata={"description": "how often the repair was started"})
    dead_letter_id = StrictInteger(allow_none=True)
    found_by = StrictInteger(metadata={"description": "the run that saw it first"})
    found_at = fields.AwareDateTime()
    seen_by = StrictInteger(metadata={"description": "the run that saw it last"})
    seen_at = fields.AwareDateTime()
    resolved_at = fields.AwareDateTime(allow_none=True)


class DifferencePage(Page):
    open = fields.Boolean(load_default=False, metadata={"description": "only open differences"})


@blp.route("")
@operators_only
@blp.paginated(Reconciliation)
def list_runs(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """Runs, latest first."""
    return reconciliations.list_runs(conn, **page)


@blp.route("/<id:reconciliation_id>")
@operators_only
@blp.response(200, Reconciliation)
def get_run(reconciliation_id: int) -> dict[str, Any]:
    """One run and its progress."""
    with autocommit() as conn:
        return reconciliations.find_run(conn, reconciliation_id)


@blp.route("/<id:reconciliation_id>/differences")
@operators_only
@blp.paginated(Difference, DifferencePage)
def list_differences_of_run(
    conn: Conn, page: dict[str, Any], reconciliation_id: int
) -> list[dict[str, Any]]:
    """Differences that a run found first or last, latest first."""
    return reconciliations.list_differences(conn, reconciliation_id, **page)


@blp.route("/differences")
@operators_only
@blp.paginated(Difference, DifferencePage)
def list_differences(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Differences of all runs, latest first."""
    return reconciliations.list_differences(conn, **page)
