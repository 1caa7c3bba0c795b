"""ops/migrate.py on migrations of its own."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pgmigrate
import psycopg
import pytest

from ops.migrate import migrate
from tests.conftest import Servers


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
    (sql / "functions" / "10_answer.sql").write_text(
        f"CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS $$ SELECT {answer} $$;"
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
    (sql / "functions" / "20_broken.sql").write_text("CREATE FUNCTION nonsense;")
    with pytest.raises(psycopg.errors.SyntaxError) as caught:
        migrate(empty_url, sql)
    assert "20_broken.sql" in caught.value.__notes__[0]
    assert one(empty_url, "SELECT to_regproc('answer')") is None


def test_it_is_safe_to_run_twice_at_once(empty_url: str, sql: Path) -> None:
    slow = "SELECT pg_sleep(0.2); CREATE TABLE halls (id int);"
    (sql / "migrations" / "V0002__slow.sql").write_text(slow)
    with ThreadPoolExecutor() as pool:
        for run in [pool.submit(migrate, empty_url, sql) for _ in range(4)]:
            run.result()
    assert one(empty_url, "SELECT count(*) FROM schema_version") == 2
