"""Connections and transactions.

Only callers open transactions: `with transaction() as conn:`. Every function of this layer takes
`conn` first. No network call may happen inside a transaction: each function that calls the gateway
or the mail server begins with `refuse_transaction()`.

Behind a pooler in transaction mode (DATABASE_POOLER) each transaction may have another session.
Therefore nothing is prepared (unless DATABASE_PREPARED says that the pooler can follow it), limits
are set in each transaction, and what needs a session connects directly.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from select import POLLIN, poll
from threading import Lock, local
from time import monotonic
from typing import Any

from psycopg import Connection, Cursor, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from db.runtime.faults import reach_commit
from db.runtime.settings import settings

Conn = Connection[DictRow]

POOL_TIMEOUT = 3.0  # seconds
TRY_AGAIN = 1.0  # seconds
REFUSED = 60.0  # seconds

TO_NOTICE_LOSS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}
"""The loss of a server is noticed within about ten seconds, even if no packet announces it."""

_opening = Lock()
_trying = Lock()
_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)

current_trace: ContextVar[str | None] = ContextVar("trace", default=None)
"""The id of the request that this thread answers, or that caused its task."""

SET_LIMITS = """SELECT set_config('statement_timeout', %(statement)s, %(local)s),
    set_config('lock_timeout', %(lock)s, %(local)s)"""
SET_ACTING = "SELECT set_config('usher.acting', %s, true), set_config('usher.trace', %s, true)"


class Pool(ConnectionPool[Conn]):
    """psycopg's pool, with a change for the time when the database is away: after one thread has
    waited in vain, only one thread at a time tries again, and the others are refused at once.
    Otherwise each would wait for seconds, until all threads of the process were waiting.
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
            self.away_until = monotonic() + POOL_TIMEOUT + TRY_AGAIN  # this thread tries
        conn = self._try(timeout)
        self.away_until = None
        return conn

    def _try(self, timeout: float | None) -> Conn:
        try:
            return super().getconn(timeout)
        except PoolTimeout:
            errors = self.get_stats().get("connections_errors", 0)
            away = errors > self.errors_seen  # otherwise all connections are in use
            self.away_until = monotonic() + TRY_AGAIN if away else None
            self.errors_seen = errors
            raise


def pool() -> Pool:
    """This process's pool. It opens once, on first use, which must be after a fork. Several threads
    may begin at the same time.
    """
    with _opening:
        return open_pool()


@cache
def open_pool() -> Pool:
    return Pool(
        settings().database_url,
        connection_class=Connection[DictRow],
        kwargs={"row_factory": dict_row, "application_name": "usher", **session_options()},
        min_size=1,
        max_size=settings().pool_size,
        timeout=POOL_TIMEOUT,
        # Short, because its pauses double: with the default it sleeps for minutes after an outage.
        # When it gives up, the next request that needs a connection opens one.
        reconnect_timeout=3,
        check=check_if_closed,
        configure=apply_statement_limits,
        open=True,
    )


def behind_pooler() -> bool:
    return settings().database_pooler == "on"


def session_options() -> dict[str, Any]:
    """What every connection through DATABASE_URL needs."""
    prepares = settings().database_prepared == "on"
    return TO_NOTICE_LOSS | ({} if prepares else {"prepare_threshold": None})


class Limits:
    """Milliseconds that a statement of this process may take, or wait for a lock; 0: no limit."""

    statement = lock = 0


def set_statement_limits(seconds: float) -> None:
    """Limit each statement of this process; `transaction` can give one a longer limit.

    For processes that answer requests. Called before the first connection is opened.
    """
    Limits.statement = Limits.lock = round(seconds * 1000)


def apply_statement_limits(conn: Conn) -> None:
    """Set the limits once per connection, which costs requests nothing. A pooler would share such a
    connection with other processes: behind one, each transaction sets them for itself."""
    if (Limits.statement or Limits.lock) and not behind_pooler():
        conn.autocommit = True
        _set_limits(conn, for_transaction=False)
        conn.autocommit = False


def limits_are_per_transaction() -> bool:
    return bool(Limits.statement or Limits.lock) and behind_pooler()


def _set_limits(conn: Conn, *, for_transaction: bool) -> None:
    limits = {"statement": str(Limits.statement), "lock": str(Limits.lock)}
    conn.execute(SET_LIMITS, limits | {"local": for_transaction})


def check_if_closed(conn: Conn) -> None:
    """Check a connection, without a round trip if its server sent nothing. An idle connection on
    which the server sent something has most likely been closed by it.

    Errors: psycopg.OperationalError.
    """
    listener = poll()
    listener.register(conn.fileno(), POLLIN)
    if listener.poll(0):
        ConnectionPool.check_connection(conn)


@contextmanager
def transaction(acting: str | None = None, seconds: int | None = None) -> Iterator[Conn]:
    """A transaction that commits when the block ends and rolls back when it raises.

    acting: who acts, for the log of state changes ("buyer:7", "task:advance"). Tasks that are
    enqueued in it carry current_trace.
    seconds: how long each statement may take, if longer than this process's limit.
    Errors: psycopg_pool.PoolTimeout when no connection is free within 3 s.
    """
    with pool().connection() as conn:
        token = _in_transaction.set(True)
        try:
            if limits_are_per_transaction():
                _set_limits(conn, for_transaction=True)
            if acting:
                conn.execute(SET_ACTING, [acting, current_trace.get() or ""])
            if seconds:
                conn.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds}s"])
            yield conn
        finally:
            _in_transaction.reset(token)
        reach_commit("before", acting)
    reach_commit("after", acting)


@contextmanager
def autocommit() -> Iterator[Conn]:
    """A connection on which every statement commits by itself: one round trip instead of three.
    Limits that are set per transaction need one: then all statements commit together.

    Errors: psycopg_pool.PoolTimeout when no connection is free within 3 s.
    """
    with pool().connection() as conn:
        if limits_are_per_transaction():
            _set_limits(conn, for_transaction=True)
        else:
            conn.autocommit = True
        try:
            yield conn
        finally:
            if conn.autocommit and not conn.closed:
                conn.autocommit = False
    reach_commit("after", None)


class Kept:
    """A connection that a thread keeps for itself, and that ends with it."""

    def __init__(self, of: Pool) -> None:
        at_once = {"prepare_threshold": 0} if settings().database_prepared == "on" else {}
        options = {"row_factory": dict_row, "application_name": "usher", **session_options()}
        url = settings().database_url
        self.conn = Connection[DictRow].connect(url, autocommit=True, **options | at_once)
        if Limits.statement or Limits.lock:
            _set_limits(self.conn, for_transaction=False)
        self.pool = of
        self.listener = poll()
        self.listener.register(self.conn.fileno(), POLLIN)

    def __del__(self) -> None:
        if hasattr(self, "conn"):
            self.conn.close()

    def is_good(self) -> bool:
        """Whether the server has not closed it, and the pool with the same settings is in use."""
        return not (self.conn.closed or self.pool.closed or self.listener.poll(0))


class Own(local):
    """The connection of the thread that asks for it."""

    kept: Kept | None = None
    not_before = 0.0
    """When the next one is opened, if the server has refused one."""


_own = Own()


@contextmanager
def own_connection() -> Iterator[Conn]:
    """This thread's own connection, on which every statement commits by itself: for one statement
    of a request that comes many times a second. Nothing is checked out, set or given back.

    It is opened when a connection of the pool has worked: the pool alone finds out whether the
    database is there. Behind a pooler it is one of the pool's, as in `autocommit`.

    Errors: psycopg_pool.PoolTimeout when no connection is free within 3 s.
    """
    kept = _own.kept
    if kept is not None and kept.is_good():
        yield kept.conn
        reach_commit("after", None)
        return
    close_own_connection()
    with autocommit() as conn:
        yield conn
    if not behind_pooler() and monotonic() >= _own.not_before:
        try:
            _own.kept = Kept(pool())
        except OperationalError:  # it has no more for us: the pool's are enough
            _own.not_before = monotonic() + REFUSED


def close_own_connection() -> None:
    """Close this thread's own connection, if it has one."""
    _own.kept = None


@contextmanager
def session() -> Iterator[Conn]:
    """A connection of its own, in autocommit mode and without a pooler: what is set in it stays."""
    options = {"row_factory": dict_row, "application_name": "usher", **TO_NOTICE_LOSS}
    url = settings().database_direct_url
    with Connection[DictRow].connect(url, autocommit=True, **options) as conn:
        yield conn


class CalledInTransaction(AssertionError):
    """A network call was about to happen inside a database transaction."""


def refuse_transaction() -> None:
    """Raise inside a transaction. Called before each network call to gateway, mail or broker."""
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
