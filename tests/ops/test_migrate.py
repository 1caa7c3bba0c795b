"""ops/deploy/migrate.py on migrations of its own."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pgmigrate
import psycopg
import pytest

from ops.deploy.migrate import migrate
from tests.support.databases import Servers


@pytest.fixture
def empty_url(servers: Servers, request: pytest.FixtureRequest) -> str:
    name = f"usher_{request.node.name}"[:60]
    request.addfinalizer(lambda: servers.drop(name))
    return servers.create(name)


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "functions").mkdir()
    (tmp_path / "migrations" / "V0001__shows.sql").write_text("CREATE TABLE shows (id int);")
    write_answer(tmp_path, 1)
    return tmp_path


def write_answer(sql: Path, answer: int) -> None:
    (sql / "functions" / "answer.sql").write_text(
        f"CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS $$ SELECT {answer} $$;"
    )


def write_double(sql: Path) -> None:
    """A function in SQL that calls one whose file comes later."""
    (sql / "functions" / "catalogue").mkdir()
    (sql / "functions" / "answer_doubled.sql").write_text(
        "CREATE OR REPLACE FUNCTION answer_doubled() RETURNS int LANGUAGE sql AS $$"
        " SELECT 2 * half() $$;"
    )
    (sql / "functions" / "catalogue" / "half.sql").write_text(
        "CREATE OR REPLACE FUNCTION half() RETURNS int LANGUAGE sql AS $$ SELECT answer() $$;"
    )


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as conn:
        row = conn.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_it_applies_each_migration_once_and_functions_every_time(empty_url: str, sql: Path) -> None:
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT answer()") == 1
    write_answer(sql, 2)
    (sql / "migrations" / "V0002__rows.sql").write_text("INSERT INTO shows VALUES (7);")
    migrate(empty_url, sql)
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT answer()") == 2
    assert one(empty_url, "SELECT count(*) FROM shows") == 1


def test_it_keeps_nothing_of_a_migration_that_fails(empty_url: str, sql: Path) -> None:
    broken = "CREATE TABLE halls (id int); SELECT 1 / 0;"
    (sql / "migrations" / "V0002__broken.sql").write_text(broken)
    with pytest.raises(pgmigrate.MigrateError):
        migrate(empty_url, sql)
    assert one(empty_url, "SELECT to_regclass('halls')") is None


def test_it_names_the_function_file_that_fails(empty_url: str, sql: Path) -> None:
    (sql / "functions" / "broken.sql").write_text("CREATE FUNCTION nonsense;")
    with pytest.raises(psycopg.errors.SyntaxError) as caught:
        migrate(empty_url, sql)
    assert "broken.sql" in caught.value.__notes__[0]
    assert one(empty_url, "SELECT to_regproc('answer')") is None


def test_functions_may_call_those_of_later_files(empty_url: str, sql: Path) -> None:
    write_double(sql)
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT answer_doubled()") == 2


def test_it_checks_the_bodies_of_functions(empty_url: str, sql: Path) -> None:
    write_double(sql)
    (sql / "functions" / "answer.sql").unlink()
    with pytest.raises(psycopg.errors.UndefinedFunction) as caught:
        migrate(empty_url, sql)
    assert "half.sql" in caught.value.__notes__[0]


def test_functions_triggers_and_data_are_all_or_none(empty_url: str, sql: Path) -> None:
    migrate(empty_url, sql)
    write_answer(sql, 2)
    (sql / "triggers").mkdir()
    (sql / "data").mkdir()
    (sql / "data" / "numbers.sql").write_text("INSERT INTO shows VALUES (8);")
    (sql / "data" / "wrong.sql").write_text("SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_url, sql)
    assert one(empty_url, "SELECT answer()") == 1
    assert one(empty_url, "SELECT count(*) FROM shows") == 0
    (sql / "data" / "wrong.sql").unlink()
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT answer()") == 2
    assert one(empty_url, "SELECT count(*) FROM shows") == 1


def write_mixed(sql: Path) -> None:
    """Migrations in transactions before and after one that must not run in any."""
    for name, text in (
        ("V0002__halls", "CREATE TABLE halls (id int);"),
        (
            "V0003__NONTRANSACTIONAL_shows_id",
            "DROP INDEX CONCURRENTLY IF EXISTS shows_id;"
            "CREATE INDEX CONCURRENTLY shows_id ON shows (id);",
        ),
        ("V0004__seats", "CREATE TABLE seats (id int);"),
    ):
        (sql / "migrations" / f"{name}.sql").write_text(text)


def test_a_migration_without_a_transaction_may_be_pending_beside_others(
    empty_url: str, sql: Path
) -> None:
    migrate(empty_url, sql)
    write_mixed(sql)
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT max(version) FROM schema_version") == 4
    assert one(empty_url, "SELECT indisvalid FROM pg_index WHERE indrelid = 'shows'::regclass")
    assert one(empty_url, "SELECT to_regclass('seats')::text") == "seats"


def test_an_empty_database_takes_one_without_a_transaction_too(empty_url: str, sql: Path) -> None:
    write_mixed(sql)
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT max(version) FROM schema_version") == 4


def test_steps_before_one_that_fails_stay(empty_url: str, sql: Path) -> None:
    migrate(empty_url, sql)
    write_mixed(sql)
    (sql / "migrations" / "V0004__seats.sql").write_text("CREATE TABLE seats (id int); SELECT 1/0;")
    with pytest.raises(pgmigrate.MigrateError):
        migrate(empty_url, sql)
    assert one(empty_url, "SELECT max(version) FROM schema_version") == 3
    assert one(empty_url, "SELECT to_regclass('seats')") is None
    write_mixed(sql)
    migrate(empty_url, sql)
    assert one(empty_url, "SELECT max(version) FROM schema_version") == 4


def test_one_that_waits_for_its_turn_does_not_keep_an_index_waiting(
    empty_url: str, sql: Path
) -> None:
    migrate(empty_url, sql)
    write_mixed(sql)
    slow = "SELECT pg_sleep(0.5); CREATE TABLE halls (id int);"  # until the other run waits
    (sql / "migrations" / "V0002__halls.sql").write_text(slow)
    (sql / "migrations.yml").write_text("session: [\"SET lock_timeout = '3s'\"]")
    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(migrate, empty_url, sql) for _ in range(2)]:
            run.result()
    assert one(empty_url, "SELECT max(version) FROM schema_version") == 4


def test_it_is_safe_to_run_twice_at_once(empty_url: str, sql: Path) -> None:
    slow = "SELECT pg_sleep(0.2); CREATE TABLE halls (id int);"
    (sql / "migrations" / "V0002__slow.sql").write_text(slow)
    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(migrate, empty_url, sql) for _ in range(4)]:
            run.result()
    assert one(empty_url, "SELECT count(*) FROM schema_version") == 2


def write_function(sql: Path, name: str, parameters: str, answer: str = "1") -> None:
    (sql / "functions" / f"{name}.sql").write_text(
        f"CREATE OR REPLACE FUNCTION {name}({parameters}) RETURNS int LANGUAGE sql"
        f" AS $$ SELECT {answer} $$;"
    )


def functions(url: str) -> set[object]:
    """Those of the application's schema, with the types of their parameters."""
    query = """
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace"""
    with psycopg.connect(url) as conn:
        return {row[0] for row in conn.execute(query)}


def a_day_later(url: str) -> None:
    """What was marked by a deploy was marked the day before yesterday."""
    query = """
        SELECT format('COMMENT ON ROUTINE %s IS %L', oid::regprocedure,
            'Of an earlier version, seen ' || now() - interval '2 days')
        FROM pg_proc WHERE obj_description(oid, 'pg_proc') LIKE 'Of an earlier version%'"""
    with psycopg.connect(url) as conn:
        for (statement,) in conn.execute(query).fetchall():
            conn.execute(statement)


def test_an_overload_whose_calls_the_new_function_takes_is_dropped_at_once(
    empty_url: str, sql: Path
) -> None:
    """The calls of processes that run on are those of before, and mean the same."""
    write_function(sql, "twice", "p_of int", "2 * p_of")
    migrate(empty_url, sql)
    write_function(sql, "twice", "p_of int, p_more int default 5", "2 * p_of + p_more")
    assert migrate(empty_url, sql) == []
    assert functions(empty_url) == {"answer()", "twice(integer,integer)"}
    assert one(empty_url, "SELECT twice(4)") == 13
    assert one(empty_url, "SELECT twice(p_of => 4)") == 13


@pytest.mark.parametrize(
    "parameters", ["", "p_of bigint", "p_of int, p_more int", "p_off int, p_more int = 1"]
)
def test_an_overload_whose_calls_it_does_not_take_is_kept_for_a_day(
    empty_url: str, sql: Path, parameters: str
) -> None:
    write_function(sql, "twice", "p_of int", "2 * p_of")
    migrate(empty_url, sql)
    write_function(sql, "twice", parameters)
    (said,) = migrate(empty_url, sql)
    assert said.startswith("twice(integer) is not of this version")
    assert migrate(empty_url, sql) == []
    assert len(functions(empty_url)) == 3
    assert one(empty_url, "SELECT twice(p_of => 4::int)") == 8
    a_day_later(empty_url)
    assert migrate(empty_url, sql) == []
    assert len(functions(empty_url)) == 2
    assert "twice(integer)" not in functions(empty_url)


def test_a_function_that_came_back_is_not_dropped(empty_url: str, sql: Path) -> None:
    """A deploy was rolled back, and then another one takes the function away again."""
    write_function(sql, "twice", "p_of int")
    migrate(empty_url, sql)
    (sql / "functions" / "twice.sql").unlink()
    assert len(migrate(empty_url, sql)) == 1
    a_day_later(empty_url)
    write_function(sql, "twice", "p_of int")
    assert migrate(empty_url, sql) == []
    assert "twice(integer)" in functions(empty_url)
    (sql / "functions" / "twice.sql").unlink()
    assert len(migrate(empty_url, sql)) == 1
    assert "twice(integer)" in functions(empty_url)


OTHERS = """
CREATE SCHEMA reports;
CREATE FUNCTION reports.answer() RETURNS int LANGUAGE sql AS 'SELECT 8';
CREATE FUNCTION reports.answer(int) RETURNS int LANGUAGE sql AS 'SELECT 9';
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';
CREATE TRIGGER fires BEFORE INSERT ON shows FOR EACH ROW EXECUTE FUNCTION fires();
CREATE FUNCTION default_id() RETURNS int LANGUAGE sql AS 'SELECT 7';
ALTER TABLE shows ALTER id SET DEFAULT default_id();
CREATE FUNCTION of_an_extension() RETURNS int LANGUAGE sql AS 'SELECT 6';
ALTER EXTENSION plpgsql ADD FUNCTION of_an_extension();
"""


def test_functions_of_others_and_those_in_use_stay(empty_url: str, sql: Path) -> None:
    migrate(empty_url, sql)
    with psycopg.connect(empty_url) as conn:
        conn.execute(OTHERS)
    for _ in range(2):
        assert migrate(empty_url, sql) == []
        a_day_later(empty_url)
    stay = {"answer()", "fires()", "default_id()", "of_an_extension()"}
    assert functions(empty_url) == stay
    assert one(empty_url, "SELECT reports.answer() + reports.answer(1)") == 17
