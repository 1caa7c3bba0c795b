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
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from db.settings import settings

Conn = Connection[DictRow]

_opening = Lock()
_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)


def pool() -> ConnectionPool[Conn]:
    """This process's pool. It opens on first use, which must be after a fork; once, even where
    several threads begin together.
    """
    with _opening:
        return open_pool()


@cache
def open_pool() -> ConnectionPool[Conn]:
    return ConnectionPool(
        settings().database_url,
        connection_class=Connection[DictRow],
        kwargs={"row_factory": dict_row, "application_name": "usher"},
        min_size=1,
        max_size=settings().pool_size,
        timeout=3,
        # Short, since its pauses double: with the default it sleeps for minutes after an outage.
        # Given up, a connection is made when the next request asks for one.
        reconnect_timeout=3,
        check=check_if_spoken_to,
        open=True,
    )


def check_if_spoken_to(conn: Conn) -> None:
    """Check a connection without a round trip, unless its server said something meanwhile: nobody
    asked, so it most likely said goodbye.

    Errors: psycopg.OperationalError.
    """
    listener = poll()
    listener.register(conn.fileno(), POLLIN)
    if listener.poll(0):
        ConnectionPool.check_connection(conn)


@contextmanager
def transaction(actor: str | None = None) -> Iterator[Conn]:
    """A transaction that commits when the block ends and rolls back when it raises.

    actor: who acts, for the log of state changes ("buyer:7", "task:advance").
    Errors: psycopg_pool.PoolTimeout when no connection is free within 3 s.
    """
    with pool().connection() as conn:
        token = _in_transaction.set(True)
        try:
            if actor:
                conn.execute("SELECT set_config('usher.actor', %s, true)", [actor])
            yield conn
        finally:
            _in_transaction.reset(token)


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


class CalledInTransaction(AssertionError):
    """A call to the outside was about to happen inside a database transaction."""


def refuse_transaction() -> None:
    """Called before anything leaves this machine's control: gateway, mail, broker."""
    if _in_transaction.get():
        raise CalledInTransaction


def only(rows: list[DictRow]) -> dict[str, Any]:
    """The only row of a result that must have one."""
    (row,) = rows
    return row
