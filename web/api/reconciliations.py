"""Reconciliations, for operators: runs and the differences that they found."""

from typing import Any

from marshmallow import fields

from db.connections import Conn, autocommit
from db.payments import reconciliations
from web.support.blueprint import Blueprint
from web.support.callers import needs
from web.support.enumerations import RUN_CAUSE, RUN_PHASE, RUN_STATE
from web.support.fields import Answer, OneOf, StrictInteger
from web.support.pages import Page

blp = Blueprint(
    "reconciliations",
    __name__,
    url_prefix="/v1/reconciliations",
    description="Comparing the gateway with the tables",
)


class Totals(Answer):
    """In minor units. here: as in the tables; there: as at the gateway."""

    currency = fields.String()
    captured_here = StrictInteger(metadata={"description": "paid, as in the tables"})
    captured_there = StrictInteger(metadata={"description": "paid, as at the gateway"})
    refunded_here = StrictInteger(metadata={"description": "refunded, as in the tables"})
    refunded_there = StrictInteger(metadata={"description": "refunded, as at the gateway"})


class Reconciliation(Answer):
    """A run. Totals are from the comparison of each page, before differences were repaired."""

    id = StrictInteger(metadata={"description": "the run's id"})
    gateway_account_id = StrictInteger(
        metadata={"description": "the first of ours that shares this account at the gateway"}
    )
    cause = OneOf(RUN_CAUSE)
    requested_by = fields.String(
        metadata={"description": "role and id, as in operator:3; or clock"}
    )
    window_from = fields.AwareDateTime(metadata={"description": "compared is what was made since"})
    window_to = fields.AwareDateTime(metadata={"description": "and before that"})
    state = OneOf(RUN_STATE)
    phase = OneOf(RUN_PHASE, metadata={"description": "what it compares now, or compared last"})
    checked = StrictInteger(metadata={"description": "objects that were compared"})
    foreign_objects = StrictInteger(
        metadata={"description": "payments of others on the same account"}
    )
    differences = StrictInteger(metadata={"description": "differences that it found"})
    repairs = StrictInteger(metadata={"description": "differences for which a repair was started"})
    dead_letters = StrictInteger(
        metadata={"description": "differences for which a person is needed"}
    )
    started_at = fields.AwareDateTime(metadata={"description": "when it began"})
    finished_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it ended; null: it has not"}
    )
    totals = fields.List(fields.Nested(Totals), metadata={"description": "by currency"})


class Difference(Answer):
    """A difference; open until a later run no longer finds it."""

    id = StrictInteger(metadata={"description": "the difference's id"})
    kind = fields.String(metadata={"description": "as in payment_behind or refund_missing"})
    subject = fields.String(metadata={"description": "our id, or the gateway's where we have none"})
    made_at = fields.AwareDateTime(metadata={"description": "when the object was made"})
    event_id = StrictInteger(allow_none=True, metadata={"description": "null: not known"})
    booking_id = fields.UUID(allow_none=True, metadata={"description": "null: not known"})
    payment_id = fields.UUID(allow_none=True, metadata={"description": "null: not known"})
    here = fields.Dict(allow_none=True, metadata={"description": "null: we do not have it"})
    there = fields.Dict(allow_none=True, metadata={"description": "null: the gateway does not"})
    repair = fields.String(
        allow_none=True, metadata={"description": "the task that may repair it; null: none can"}
    )
    repairs = StrictInteger(metadata={"description": "how often the repair was started"})
    dead_letter_id = StrictInteger(
        allow_none=True, metadata={"description": "of it; null: no person is needed"}
    )
    found_by = StrictInteger(metadata={"description": "the run that saw it first"})
    found_at = fields.AwareDateTime(metadata={"description": "when it was seen first"})
    seen_by = StrictInteger(metadata={"description": "the run that saw it last"})
    seen_at = fields.AwareDateTime(metadata={"description": "when it was seen last"})
    resolved_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was gone; null: it is open"}
    )


class DifferencePage(Page):
    open = fields.Boolean(load_default=False, metadata={"description": "only open differences"})


@blp.route("")
@needs("reconciliations.read")
@blp.paginated(Reconciliation)
def list_reconciliations(conn: Conn, page: dict[str, int]) -> list[dict[str, Any]]:
    """Runs, latest first."""
    return reconciliations.list_runs(conn, **page)


@blp.route("/<id:reconciliation_id>")
@needs("reconciliations.read")
@blp.response(200, Reconciliation)
def get_reconciliation(reconciliation_id: int) -> dict[str, Any]:
    """One run and its progress."""
    with autocommit() as conn:
        return reconciliations.find_run(conn, reconciliation_id)


@blp.route("/<id:reconciliation_id>/differences")
@needs("reconciliations.read")
@blp.paginated(Difference, DifferencePage)
def list_differences_of_run(
    conn: Conn, page: dict[str, Any], reconciliation_id: int
) -> list[dict[str, Any]]:
    """Differences that a run found first or last, latest first."""
    return reconciliations.list_differences(conn, reconciliation_id, **page)


@blp.route("/differences")
@needs("reconciliations.read")
@blp.paginated(Difference, DifferencePage)
def list_differences(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Differences of all runs, latest first."""
    return reconciliations.list_differences(conn, **page)
