"""Reports, as rows."""

from typing import Any

from flask import jsonify

from db.catalogue import events
from db.connections import transaction
from db.maintenance import reports
from web.support.blueprint import Blueprint, parameter
from web.support.callers import caller, needs
from web.support.enumerations import REPORT

blp = Blueprint("reports", __name__, url_prefix="/v1/events", description="Reports")


ROWS = {
    "type": "array",
    "description": "Rows; each has the report's columns, as sql/reports/ explains them. Amounts "
    "are in minor units.",
    "items": {
        "type": "object",
        "additionalProperties": {"type": ["string", "integer", "number", "null"]},
    },
}


@blp.route("/<id:event_id>/reports/<name>", parameters=[parameter("name", REPORT, "the report")])
@needs("reports.read")
@blp.response(200, ROWS)
@blp.conflicts("archived", "test_event")
def get_report(event_id: int, name: str) -> Any:
    """A report on one event; the error for an unknown name lists all names."""
    with transaction(caller().name) as conn:
        events.check_owner(conn, caller().scope, event_id)
        reports.check_complete(conn, event_id)
        return jsonify(reports.run_report(conn, name, event_id)[1])
