"""Each column that can hold text says whether it is personal; personal data are written in one
place."""

import re

from db.connections import Conn
from db.maintenance.personal_columns import ERASED, NOT_PERSONAL
from tests.structure.references import ROOT

CAN_HOLD_TEXT = """
    select c.relname || '.' || a.attname as name
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_type e on e.oid = t.typelem
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and not c.relispartition and c.relname <> 'schema_version'
        and (t.typcategory in ('S', 'U', 'I', 'X') or e.typcategory in ('S', 'U', 'I'))
        and t.typname <> 'uuid' and coalesce(e.typname, '') <> 'uuid'"""
WRITES = re.compile(r"\b(?:insert into|update|delete from)\s+(accounts|buyers)\b", re.IGNORECASE)


def test_every_column_that_can_hold_text_is_personal_or_not(conn: Conn) -> None:
    found = {row["name"] for row in conn.execute(CAN_HOLD_TEXT)}
    assert "emails.context" in found and "draws.secret" in found and "audits.done" in found
    listed = {f"{table}.{c}" for table, columns in NOT_PERSONAL.items() for c in columns.split()}
    assert not ERASED.keys() & listed, "in both tables"
    assert found - ERASED.keys() - listed == set(), (
        "Say in db/maintenance/personal_columns.py whether these hold something about a buyer"
        " (NOT_PERSONAL), and what erases it (ERASED)."
    )
    assert (ERASED.keys() | listed) - found == set(), "these are no columns: take them out"


def test_what_erases_a_column_names_it() -> None:
    bodies = {path.stem: path.read_text() for path in (ROOT / "sql/functions").rglob("*.sql")}
    everything = "\n".join(bodies.values())
    for column, function in ERASED.items():
        assert f"function {function}(" in everything, f"{column}: there is no {function}"
        body = next(text for text in bodies.values() if f"function {function}(" in text)
        table, name = column.split(".")
        assert table in body, f"{function} does not know {table}"
        assert name in body or f"delete from {table}" in body, f"{function} leaves {column}"


def test_accounts_and_buyers_are_written_by_their_chapter_alone() -> None:
    """So that they can be kept at one home, should there be several databases."""
    writing = {
        path.relative_to(ROOT).as_posix()
        for folder in ("sql/functions", "sql/queries", "sql/triggers", "db", "web", "tasks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".sql", ".py") and WRITES.search(path.read_text())
    }
    assert writing, "no file writes them: is the test looking in the right place?"
    may = re.compile(r"sql/(functions|queries)/accounts/|db/accounts/")
    assert {path for path in writing if not may.match(path)} == set()
