"""Invariants: the queries of sql/invariants.sql, each of which must return no row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, LiteralString

from db.connections import Conn, many
from db.queries import load

sql = load("maintenance/invariants")

PATH = Path(__file__).resolve().parents[2] / "sql" / "invariants.sql"
SAMPLE_ROWS = 5

ONLY_WHOLE = {
    "waiting_without_lane": "it reads all waiting entries",
    "receipt_numbers_with_gaps": "it counts all receipts of an organisation",
    "plan_import_forgotten": "it is about no buyer",
    "confirmed_booking_not_told": "it reads a month of the feed",
    "feed_numbers_with_gaps": "it is about no buyer",
    "audit_chain_broken": "it follows the chains of organisations",
}
"""Invariants that only the whole audit checks, and why."""


@dataclass(frozen=True)
class Invariant:
    """A named query and the meaning of its rows. text: the query in the file."""

    name: str
    meaning: str
    text: str

    @property
    def query(self) -> LiteralString:
        return f"{sql.bare}\n{self.text}"

    @property
    def among(self) -> LiteralString:
        """The query about some buyers' bookings; its parameters are event_id and buyers."""
        return f"{sql.among}\n" + self.text.replace("%", "%%")

    @property
    def about(self) -> Literal["buyers", "queues", "all"]:
        """What can be checked at a time: some buyers' bookings, some lanes with their entries, or
        only all rows."""
        if self.name in ONLY_WHOLE:
            return "all"
        return "queues" if re.search(r"\blane_state\b", self.text) else "buyers"


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold: the number of its rows, and some of them."""

    name: str
    meaning: str
    rows: int
    sample: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.name} ({self.rows} rows): {self.meaning} For example {self.sample[0]}"


@cache
def invariants() -> list[Invariant]:
    """All invariants, in the order of the file."""
    parts = re.split(r"^-- (\w+) --$", PATH.read_text(), flags=re.MULTILINE)
    return [
        Invariant(name, _comment(text), text.strip().rstrip(";"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _comment(text: str) -> str:
    return " ".join(re.findall(r"^-- (.*)$", text, flags=re.MULTILINE))


def violations(conn: Conn) -> list[Violation]:
    """Check all invariants, and return those that do not hold. An autocommit connection is best:
    each query then takes its own database snapshot.

    It takes less than 2 s for 80,000 sold seats.
    """
    found = []
    for invariant in invariants():
        rows = many(conn.execute(invariant.query))
        if rows:
            sample = rows[:SAMPLE_ROWS]
            found.append(Violation(invariant.name, invariant.meaning, len(rows), sample))
    return found


def find_rows(conn: Conn, invariant: Invariant, limit: int) -> list[dict[str, Any]]:
    """Run an invariant over all rows; at most `limit` rows are returned."""
    return conn.execute(invariant.query).fetchmany(limit)


def find_rows_among(
    conn: Conn, invariant: Invariant, event_id: int, buyers: Sequence[int], limit: int
) -> list[dict[str, Any]]:
    """Run an invariant over the bookings of these buyers; at most `limit` rows are returned."""
    values = {"event_id": event_id, "buyers": list(buyers)}
    return conn.execute(invariant.among, values).fetchmany(limit)
