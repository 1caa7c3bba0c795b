"""Where functions and triggers stand in sql/, how long a function is, and what the schema is."""

import re
from pathlib import Path

import pytest

from db.connections import Conn
from ops.deploy.schema import PAGE, describe_schema

SQL = Path(__file__).resolve().parents[2] / "sql"
CHAPTERS = {"accounts", "catalogue", "queue", "bookings", "payments", "durable", "mail"} | {
    "feed",
    "maintenance",
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


@pytest.mark.slow
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
           WHERE NOT tgisinternal AND tgparentid = 0
               AND tgname NOT IN ('state_log_not_truncated', 'check_lock_order')"""
    )  # guard_log makes the one, for each partition; the other is of the tests
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
               AND proargnames[1] NOT IN ('p_event', 'p_events')"""
    )
    # What comes from the gateway names the payment alone.
    may = {"find_notified_payment", "take_notification", "is_archived", "restore_payment"}
    may |= {"find_archived_payment"}
    assert {row["proname"] for row in without} - may == set()


@pytest.mark.parametrize(
    ("index", "query"),
    [
        ("bookings_open", "select from bookings where event_id = 1 and booking_is_open(state)"),
        ("payments_open", "select from payments where payment_is_open(state) order by id"),
        (
            "entries_one_active",
            "select from entries where event_id = 1 and buyer_id = 1 and entry_is_active(state)",
        ),
        (
            "entries_one_active",
            "insert into entries select * from entries on conflict (event_id, buyer_id)"
            " where entry_is_active(state) do nothing",
        ),
    ],
)
def test_groups_of_states_are_those_of_partial_indexes(conn: Conn, index: str, query: str) -> None:
    """An index has the list, in the schema; all else calls the function, which is inlined."""
    conn.execute("set enable_seqscan = off")
    conn.execute("set enable_bitmapscan = off")
    plan = conn.execute(f"explain {query}".encode()).fetchall()
    lines = [row["QUERY PLAN"] for row in plan]
    assert any(index in line for line in lines), lines
    function = re.search(r"(\w+)\(state\)", query)
    assert function and not any(function[1] in line for line in lines), lines


def test_no_statement_lists_a_group_of_states_anew(conn: Conn) -> None:
    """Invariants do: they rely on nothing that they check."""
    groups = {
        frozenset(re.findall(r"'(\w+)'", text)): path.stem
        for path, text in texts("functions/**/*.sql").items()
        if re.match(r"(booking|payment|entry)_(is|has)_", path.stem)
    }
    assert len(groups) == 7
    for pattern in ("functions/**/*.sql", "triggers/*.sql", "queries/**/*.sql"):
        for path, text in texts(pattern).items():
            for states in re.findall(r"\bstate\s+(?:not )?in\s+\(('[^)]*)\)", text, re.I):
                group = groups.get(frozenset(re.findall(r"'(\w+)'", states)))
                assert group is None, f"{path}: {group}"
