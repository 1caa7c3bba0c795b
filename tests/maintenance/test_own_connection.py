"""A thread's own connection: one for each, as long as the thread and the server live."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from db.connections import (
    autocommit,
    close_own_connection,
    one,
    open_pool,
    own_connection,
    pool,
    set_statement_limits,
)
from db.runtime.settings import settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("configured")

WHO = """
SELECT pg_backend_pid() AS pid, current_setting('statement_timeout') AS most,
    (SELECT count(*) FROM pg_prepared_statements) AS prepared
"""
GONE = "SELECT count(*) AS n FROM pg_stat_activity WHERE pid = %s"


def who() -> dict[str, Any]:
    with own_connection() as conn:
        return one(conn.execute(WHO))


@pytest.fixture(autouse=True)
def begin_anew() -> None:
    close_own_connection()


def test_a_thread_keeps_the_connection_that_follows_the_pools() -> None:
    first, second, third = who()["pid"], who()["pid"], who()["pid"]
    assert first != second == third
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(lambda: (who(), who()["pid"])).result()[1] not in (first, second)


def test_it_ends_with_its_thread() -> None:
    with ThreadPoolExecutor(1) as thread:
        pid = thread.submit(lambda: (who(), who()["pid"])).result()[1]
    with autocommit() as conn:
        wait_until(lambda: not one(conn.execute(GONE, [pid]))["n"])


def test_one_that_the_server_has_closed_is_not_used() -> None:
    who()
    pid = who()["pid"]
    with autocommit() as conn:
        conn.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not one(conn.execute(GONE, [pid]))["n"])
    assert who()["pid"] != pid
    assert who()["pid"] != pid


def test_each_statement_is_prepared_at_once_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def prepared() -> bool:
        close_own_connection()
        return bool([who()["prepared"] for _ in range(3)][-1])

    assert prepared()
    monkeypatch.setenv("DATABASE_PREPARED", "off")
    settings.cache_clear()
    assert not prepared()


def test_it_has_the_limits_of_the_process() -> None:
    pool().close()
    set_statement_limits(7)
    open_pool.cache_clear()
    assert [who()["most"] for _ in range(2)] == ["7s", "7s"]
