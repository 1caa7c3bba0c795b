"""Reports: sql/reports/<name>.sql, the same files that psql runs.

    psql -v event_id=1 -f sql/reports/revenue.sql

They say `:event_id`, psql's way; here it becomes a parameter. Every column is text, an integer or a
float, so that rows are JSON as they are.
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
    """The reports there are, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def check_complete(conn: Conn, event_id: int) -> None:
    """Reports read what is not archived. Errors: Conflict, where they would leave something out."""
    query = "SELECT FROM events WHERE id = %s AND archive_month IS NOT NULL"
    if maybe(conn.execute(query, [event_id])) is not None:
        message = "It is long over, and in the archive: its receipts tell what was sold."
        raise Conflict(message, "archived")


def run_report(conn: Conn, name: str, event_id: int) -> tuple[list[str], list[dict[str, Any]]]:
    """A report on one event: the names of its columns, and its rows by column.

    The caller's transaction can only read from then on, and each statement for 30 s at most.

    Errors: NotFound when there is no report of that name.
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
