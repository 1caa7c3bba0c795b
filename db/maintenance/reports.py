"""Reports: sql/reports/<name>.sql, the same files that psql runs.

    psql -v event_id=1 -f sql/reports/revenue.sql

The files use psql's variable `:event_id`, which becomes a parameter here. Every column is text, an
integer or a float, so that rows need no conversion for JSON.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any, LiteralString

from db.connections import Conn, many, maybe
from db.runtime.errors import Conflict, NotFound

FOLDER = Path(__file__).resolve().parents[2] / "sql" / "reports"

_VARIABLE = re.compile(r"(?<!:):event_id\b")  # but not a cast


def report_names() -> list[str]:
    """Names of all reports, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def check_complete(conn: Conn, event_id: int) -> None:
    """Check that the event is no test, and is not archived: reports do not read archives. Errors:
    Conflict."""
    query = "SELECT is_test FROM events WHERE id = %s AND (archive_month IS NOT NULL OR is_test)"
    found = maybe(conn.execute(query, [event_id]))
    if found is not None and found["is_test"]:
        raise Conflict("The event is a test: no report counts it.", "test_event")
    if found is not None:
        message = "The event is in the archive: its receipts tell what was sold."
        raise Conflict(message, "archived")


def run_report(conn: Conn, name: str, event_id: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Run a report on one event: the names of its columns, and its rows by column.

    From then on the caller's transaction is read-only, and each statement may take 30 s.

    Errors: NotFound when there is no report with this name.
    """
    if name not in report_names():
        raise NotFound(f"There is no report {name!r}; there are {', '.join(report_names())}.")
    conn.execute("SET TRANSACTION READ ONLY")
    conn.execute("SET LOCAL statement_timeout = '30s'")
    result = conn.execute(_statement(name), {"event_id": event_id})
    return [column.name for column in result.description or ()], many(result)


@cache
def _statement(name: str) -> LiteralString:
    text = (FOLDER / f"{name}.sql").read_text().replace("%", "%%")
    return _VARIABLE.sub("%(event_id)s", text)
