"""Periodic jobs: their schedule and last run are rows, so any number of clocks may tick."""

from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from db.connections import Conn
from db.queries import load

sql = load("jobs")


def declare(conn: Conn, name: str, every: timedelta) -> None:
    conn.execute(sql.declare, {"name": name, "every": every})


def take_tick(conn: Conn, name: str) -> bool:
    """Whether the job is due and we are the one to run it."""
    return conn.execute(sql.take_tick, {"name": name}).fetchone() is not None


def finish(conn: Conn, name: str, result: Any) -> None:
    conn.execute(sql.finish, {"name": name, "result": Jsonb(result)})


def ensure_partitions(conn: Conn) -> int:
    """How many monthly partitions had to be made."""
    row = conn.execute(sql.ensure_partitions).fetchone()
    assert row is not None
    return int(row["made"])


def purge_idempotency_keys(conn: Conn) -> int:
    """How many keys were old enough to go."""
    return conn.execute(sql.purge_idempotency_keys).rowcount
