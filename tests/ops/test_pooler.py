"""A pooler in transaction mode: Debian's PgBouncer, with fewer sessions than clients."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db import connections
from db.connections import (
    Conn,
    autocommit,
    one,
    open_pool,
    session,
    set_statement_limits,
    transaction,
)
from db.runtime.settings import read_settings, settings
from ops.demo import __main__ as demo
from ops.local.stack import Stack
from tests.support.drawings import small_hall
from tests.support.pooling import pooled

pytestmark = [pytest.mark.system, pytest.mark.processes, pytest.mark.faults("Running")]


class PooledStack(Stack):
    """All processes reach the database through the pooler, but for what needs a session."""

    def _start_database(self, starting: contextlib.ExitStack) -> None:
        super()._start_database(starting)
        self.extra_env |= {
            "DATABASE_URL": starting.enter_context(pooled(self.database_url, sessions=8)),
            "DATABASE_DIRECT_URL": self.database_url,
            "DATABASE_POOLER": "on",
        }


@pytest.mark.timeout(300)
def test_a_hall_is_sold_from_queue_to_inbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By all processes of the Procfile; each statement runs often enough to be prepared."""
    monkeypatch.setattr(demo, "Stack", PooledStack)
    plan = tmp_path / "hall.json"
    plan.write_text(json.dumps(small_hall()))
    result = demo.run(plan, buyers=120, seed=1, hold_seconds=20, var_dir=tmp_path / "var")
    assert result["failures"] == []
    assert result["sold_seats"] == 60
    assert result["confirmed_bookings"] == result["emails_delivered"] > 0
    for log in (tmp_path / "var" / "log").glob("*.log"):
        assert "prepared statement" not in log.read_text(), log.name


@pytest.fixture
def through_pooler(
    configured: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """This process has the settings of one behind a pooler that has a single session."""
    with pooled(database_url, sessions=1) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("DATABASE_DIRECT_URL", database_url)
        monkeypatch.setenv("DATABASE_POOLER", "on")
        forget()
        yield url
        forget()


def forget() -> None:
    if open_pool.cache_info().currsize:
        open_pool().close()
    open_pool.cache_clear()
    settings.cache_clear()
    set_statement_limits(0)


def timeouts(conn: "Conn | psycopg.Connection[tuple[str, str]]") -> list[str]:
    names = ("statement_timeout", "lock_timeout")
    return [
        str(conn.execute(f"select current_setting('{name}') as v").fetchone()) for name in names
    ]


def test_limits_of_requests_end_with_their_transaction(through_pooler: str) -> None:
    """The next client of the same session, a worker, must not be cut short."""
    set_statement_limits(0.2)
    for opening in (transaction, autocommit):
        with pytest.raises(psycopg.errors.QueryCanceled), opening() as conn:
            conn.execute("select pg_sleep(2)")
        with opening() as conn:
            assert "200ms" in timeouts(conn)[0]
            assert "200ms" in timeouts(conn)[1]
        with psycopg.connect(through_pooler, prepare_threshold=None) as other:
            assert timeouts(other) == ["('0',)", "('0',)"]


def test_statements_are_not_prepared_and_sessions_are_direct(through_pooler: str) -> None:
    for _ in range(3):
        for n in range(12):
            with transaction("buyer:1") as conn:
                assert one(conn.execute("select %s::int as n", [n])) == {"n": n}
            with autocommit() as conn:
                assert one(conn.execute("select %s::int as n", [n])) == {"n": n}
        open_pool().close()
        open_pool.cache_clear()  # another process, on the same session
    with session() as conn:
        conn.execute("select set_config('statement_timeout', '7s', false)")
        assert "7s" in timeouts(conn)[0]
        assert str(conn.info.port) in settings().database_direct_url
    assert connections.behind_pooler()


def test_the_settings_say_what_is_wrong(configured: dict[str, str]) -> None:
    assert read_settings(configured).database_direct_url == configured["DATABASE_URL"]
    for name in ("DATABASE_POOLER", "DATABASE_DIRECT_URL"):
        with pytest.raises(Exception, match=name):
            read_settings({**configured, name: "yes"})
