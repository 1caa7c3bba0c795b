"""Named statements, from sql/queries/<chapter>/<noun>.sql:

    -- get_booking --
    -- One sentence on what it is for.
    SELECT …

`sql = load("bookings/bookings")` gives them as attributes: `conn.execute(sql.get_booking, …)`.
"""

import re
from pathlib import Path
from typing import LiteralString

FOLDER = Path(__file__).resolve().parent.parent / "sql" / "queries"


class Queries:
    """The statements of one file, by name."""

    def __init__(self, statements: dict[str, str]) -> None:
        self._statements = statements

    def __getattr__(self, name: str) -> LiteralString:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no statement named {name}") from None


def load(noun: str) -> Queries:
    """Read sql/queries/<noun>.sql, with the chapter in noun: "bookings/bookings"."""
    parts = re.split(r"^-- (\w+) --$", (FOLDER / f"{noun}.sql").read_text(), flags=re.MULTILINE)
    return Queries(dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True)))
