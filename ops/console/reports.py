"""Print the reports of sql/reports for one event, or for all of them.

python -m ops.console.reports [name ...] [--event 1]
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from db.connections import Conn, transaction
from db.maintenance.reports import report_names, run_report
from ops.console.local_settings import use_local_settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="make reports", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="*", default=report_names(), help="default: all of them")
    parser.add_argument("--event", type=int, help="an event's id; default: every event")
    args = parser.parse_args()
    if unknown := set(args.name) - set(report_names()):
        sys.exit(f"no report {', '.join(unknown)}: there are {', '.join(report_names())}")
    use_local_settings()
    with transaction() as conn:
        events = chosen_events(conn, args.event)
        if not events:
            sys.exit("no such event" if args.event else "there are no events yet")
        for event in events:
            print(f"\n{event['name']} (event {event['id']}, {event['state']})")
            for name in args.name:
                print(f"\n{name}\n{as_table(*run_report(conn, name, event['id']))}")


def chosen_events(conn: Conn, event_id: int | None) -> list[dict[str, Any]]:
    query = """
        SELECT id, name, state FROM events
        WHERE %(id)s::bigint IN (id, 0) AND NOT is_test ORDER BY id"""
    return conn.execute(query, {"id": event_id or 0}).fetchall()


def as_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Format rows as aligned columns, with numbers to the right."""
    cells = [list(columns), *([shown(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(isinstance(row[column], int | float | None) for row in rows) for column in columns]
    return "\n".join("  " + aligned(line, widths, right) for line in cells)


def shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def aligned(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    texts = [
        text.rjust(width) if numeric else text.ljust(width)
        for text, width, numeric in zip(line, widths, right, strict=True)
    ]
    return "  ".join(texts).rstrip()


if __name__ == "__main__":
    main()
