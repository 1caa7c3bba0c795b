"""Where functions and triggers stand in sql/, how long a function is, and what the schema is."""

import re
from pathlib import Path

import pytest

from db.connections import Conn
from ops.deploy.schema import PAGE, describe_schema

SQL = Path(__file__).resolve().parents[2] / "sql"
CHAPTERS = {"accounts", "catalogue", "queue", "bookings", "payments", "durable", "mail"} | {
    "maintenance"
}
FUNCTION = re.compile(r"^create or replace function (\w+).*?\$\$.*?\$\$;\n", re.M | re.S)
TRIGGER = re.compile(r"^create or replace trigger (\w+)\s.*?\bon (\w+)\s", re.M | re.S)
COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.S)
LONGEST = 120  # lines
MAY_BE_LONGER = {"choose_seats"}  # one algorithm over shared arrays


def texts(pattern: str) -> dict[Path, str]:
    found = {path: path.read_text() for path in sorted(SQL.glob(pattern))}
    assert found, f"sql/{pattern} has no files: is the test looking in the right place?"
    return found


def calls(text: str, function: str) -> bool:
    return re.search(rf"\b{function}\s*\(", COMMENT.sub("", text)) is not None


def test_each_file_of_functions_is_named_after_its_first_function() -> None:
    for path, text in texts("functions/**/*.sql").items():
        names = [match[1] for match in FUNCTION.finditer(text)]
        assert names[:1] == [path.stem], path
        assert len(names) == text.count("create or replace"), f"{path}: unreadable for the test"
        assert path.parent.name in CHAPTERS, path


def test_no_public_function_hides_in_the_file_of_another() -> None:
    everything = texts("**/*.sql")
    for path, text in texts("functions/**/*.sql").items():
        for helper in [match[1] for match in FUNCTION.finditer(text)][1:]:
            assert calls(text, helper), helper
            users = [other for other in everything if calls(everything[other], helper)]
            assert users == [path], f"{helper} needs a file of its own"


def test_all_that_fires_on_a_table_is_in_the_file_of_the_table(conn: Conn) -> None:
    files = texts("triggers/*.sql")
    placed = {
        (match[2], match[1])
        for path, text in files.items()
        for match in TRIGGER.finditer(text)
        if match[2] == path.stem
    }
    assert len(placed) == sum(text.count("create or replace trigger") for text in files.values())
    fired = conn.execute(
        """SELECT tgrelid::regclass::text AS on_table, tgname FROM pg_trigger
           WHERE NOT tgisinternal AND tgparentid = 0 AND tgname <> 'state_log_not_truncated'"""
    )  # guard_log makes that one, for each partition
    assert {(row["on_table"], row["tgname"]) for row in fired} == placed
    for path, text in files.items():
        for function in (match[1] for match in FUNCTION.finditer(text)):
            users = [other for other in files if calls(files[other], function)]
            assert users == [path], f"{function} belongs in sql/functions"


def test_functions_are_short() -> None:
    long = {
        match[1]
        for pattern in ("functions/**/*.sql", "triggers/*.sql")
        for text in texts(pattern).values()
        for match in FUNCTION.finditer(text)
        if match[0].count("\n") > LONGEST
    }
    assert long == MAY_BE_LONGER


def test_the_schema_file_is_what_the_migrations_give(conn: Conn) -> None:
    assert describe_schema(conn) == PAGE.read_text(), "run: make schema"


def test_the_schema_tells_of_each_change(conn: Conn) -> None:
    before = set(describe_schema(conn).splitlines())
    conn.execute("ALTER TABLE venues ADD COLUMN capacity bigint CHECK (capacity > 0)")
    conn.execute("CREATE INDEX venues_capacity ON venues (capacity)")
    conn.execute("ALTER TABLE venues ALTER COLUMN city DROP DEFAULT")
    assert set(describe_schema(conn).splitlines()) - before == {
        "    capacity bigint,",
        "    CONSTRAINT venues_capacity_check CHECK (capacity > 0),",
        "CREATE INDEX venues_capacity ON venues USING btree (capacity);",
        "    city text NOT NULL,",
    }


def test_each_table_has_its_chapter(conn: Conn) -> None:
    assert set(re.findall(r"^/\* ---- (\w+) -+ \*/$", PAGE.read_text(), re.M)) == CHAPTERS
    conn.execute("CREATE TABLE stray (id bigint)")
    with pytest.raises(ValueError, match="stray"):
        describe_schema(conn)


def test_what_is_asked_about_a_payment_says_of_which_event(conn: Conn) -> None:
    """Functions have the event first, or a row that names it: so a call can be sent to a shard."""
    without = conn.execute(
        """SELECT proname FROM pg_proc, unnest(proargnames) name
           WHERE pronamespace = 'public'::regnamespace
               AND name ~ '^p_(payment|refund|booking)s?$'
               AND proargtypes[0] <> ALL (SELECT reltype FROM pg_class WHERE reltype <> 0)
               AND proargnames[1] <> 'p_event'"""
    )
    # What comes from the gateway names the payment alone.
    may = {"find_notified_payment", "take_notification", "is_archived", "restore_payment"}
    assert {row["proname"] for row in without} - may == set()
