"""Connections and transactions.

Only callers open transactions: `with transaction() as conn:`; every function of this layer takes
`conn` first. No call to the outside may happen inside one: whatever calls the gateway or mail
begins with `refuse_transaction()`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from select import POLLIN, poll
from threading import Lock
from time import monotonic
from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from db.runtime.faults import reach_commit
from db.runtime.settings import settings

Conn = Connection[DictRow]

POOL_TIMEOUT = 3.0  # seconds
TRY_AGAIN = 1.0  # seconds

TO_NOTICE_LOSS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
"""A server that vanished without a word is noticed within about ten seconds, not hours."""

_opening = Lock()
_trying = Lock()
_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)

current_trace: ContextVar[str | None] = ContextVar("trace", default=None)
"""The id of the request that this thread answers, or that caused the task that it works on."""

SAY_WHO = "SELECT set_config('usher.actor', %s, true), set_config('usher.trace', %s, true)"


class Pool(ConnectionPool[Conn]):
    """psycopg's; and while the database is away, after one wait in vain, only one at
    a time tries again. The others are refused at once: they would wait for seconds each, until all
    threads of the process did.
    """

    away_until: float | None = None
    errors_seen = 0

    def getconn(self, timeout: float | None = None) -> Conn:
        """Errors: PoolTimeout."""
        if self.away_until is None:
            return self._try(timeout)
        with _trying:
            if self.away_until is not None and monotonic() < self.away_until:
                raise PoolTimeout("the database could not be reached a moment ago")
            self.away_until = monotonic() + POOL_TIMEOUT + TRY_AGAIN  # it is this thread that tries
        conn = self._try(timeout)
        self.away_until = None
        return conn

    def _try(self, timeout: float | None) -> Conn:
        try:
            return super().getconn(timeout)
        except PoolTimeout:
            errors = self.get_stats().get("connections_errors", 0)
            away = errors > self.errors_seen  # else all connections are merely in use
            self.away_until = monotonic() + TRY_AGAIN if away else None
            self.errors_seen = errors
            raise


def pool() -> Pool:
    """This process's pool. It opens on first use, which must be after a fork; once, even where
    several threads begin together.
    """
    with _opening:
        return open_pool()


@cache
def open_pool() -> Pool:
    return Pool(
        settings().database_url,
        connection_class=Connection[DictRow],
        kwargs={"row_factory": dict_row, "application_name": "usher", **TO_NOTICE_LOSS},
        min_size=1,
        max_size=settings().pool_size,
        timeout=POOL_TIMEOUT,
        # Short, since its pauses double: with the default it sleeps for minutes after an outage.
        # Given up, a connection is made when the next request asks for one.
        reconnect_timeout=3,
        check=check_if_spoken_to,
        configure=limit_statements,
        open=True,
    )


class Limits:
    """Milliseconds for each statement of this process, and to wait for a lock; 0: no limit."""

    statement = lock = 0


def hurry(seconds: float) -> None:
    """From now on a statement of this process may take so long, other limits see `transaction`.

    For processes whose answers are waited for. Called before anything is connected to.
    """
    Limits.statement = Limits.lock = round(seconds * 1000)


def limit_statements(conn: Conn) -> None:
    """Once per connection, which costs requests nothing. A pooler in transaction mode would let
    others have it: hence a database user for such processes alone (ops/docs/running.md).
    """
    if Limits.statement or Limits.lock:
        conn.autocommit = True
        conn.execute(
            """SELECT set_config('statement_timeout', %s, false),
            set_config('lock_timeout', %s, false)""",
            [str(Limits.statement), str(Limits.lock)],
        )
        conn.autocommit = False


def check_if_spoken_to(conn: Conn) -> None:
    """Check a connection without a round trip, unless its server said something meanwhile:
    it was not asked, so it most likely said goodbye.

    Errors: psycopg.OperationalError.
    """
    listener = poll()
    listener.register(conn.fileno(), POLLIN)
    if listener.poll(0):
        ConnectionPool.check_connection(conn)


@contextmanager
def transaction(actor: str | None = None, seconds: int | None = None) -> Iterator[Conn]:
    """A transaction that commits when the block ends and rolls back when it raises.

    actor: who acts, for the log of state changes ("buyer:7", "task:advance"). What it enqueues
    carries current_trace.
    seconds: how long each statement may take, if longer than others of this process.
    Errors: psycopg_pool.PoolTimeout when no connection is free within 3 s.
    """
    with pool().connection() as conn:
        token = _in_transaction.set(True)
        try:
            if actor:
                conn.execute(SAY_WHO, [actor, current_trace.get() or ""])
            if seconds:
                conn.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])
            yield conn
        finally:
            _in_transaction.reset(token)
        reach_commit("before", actor)
    reach_commit("after", actor)


@contextmanager
def autocommit() -> Iterator[Conn]:
    """A connection on which every statement commits by itself: one round trip instead of three.

    Errors: psycopg_pool.PoolTimeout when no connection is free within 3 s.
    """
    with pool().connection() as conn:
        conn.autocommit = True
        try:
            yield conn
        finally:
            if not conn.closed:
                conn.autocommit = False
    reach_commit("after", None)


class CalledInTransaction(AssertionError):
    """A call to the outside was about to happen inside a database transaction."""


def refuse_transaction() -> None:
    """Called before anything leaves this machine's control: gateway, mail, broker."""
    if _in_transaction.get():
        raise CalledInTransaction


def one(result: Cursor[DictRow]) -> dict[str, Any]:
    """The row of a result that has exactly one."""
    (row,) = result.fetchall()
    return row


def maybe(result: Cursor[DictRow]) -> dict[str, Any] | None:
    """The row of a result that has at most one."""
    return result.fetchone()


def many(result: Cursor[DictRow]) -> list[dict[str, Any]]:
    """All rows of a result."""
    return result.fetchall()


def only(rows: list[DictRow]) -> dict[str, Any]:
    """The only row of a list that must have one."""
    (row,) = rows
    return row
