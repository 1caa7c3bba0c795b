"""Periodic jobs: their schedule and last run are rows, so any number of clocks may tick."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.queries import load

sql = load("durable/jobs")


def declare(
    conn: Conn, name: str, every: timedelta, catch_up: int = 0, at: timedelta | None = None
) -> None:
    """A job is to run every so often. catch_up: how many missed ticks are run after all; at: the
    time of day (UTC) of its ticks, else they count from its first declaration."""
    values = {"name": name, "every": every, "catch_up": catch_up, "at": at}
    conn.execute(sql.declare, values)


def forget_others(conn: Conn, names: Collection[str]) -> None:
    """Jobs that are not among these are no more."""
    conn.execute(sql.forget_others, {"names": list(names)})


def list_due(conn: Conn) -> set[str]:
    """The jobs that are due; a clock takes the tick of one before it runs it."""
    return {row["name"] for row in conn.execute(sql.list_due)}


def take_tick(conn: Conn, name: str) -> datetime | None:
    """The tick that we are to run, in this transaction; None: it is not due, or another clock has
    it."""
    row = maybe(conn.execute(sql.take_tick, {"name": name}))
    return row["tick"] if row else None


def finish(conn: Conn, name: str, result: Any) -> None:
    conn.execute(sql.finish, {"name": name, "result": Jsonb(result)})


def fail(conn: Conn, name: str, error: str) -> int:
    """Write down what went wrong; how many times in a row it has."""
    return int(one(conn.execute(sql.fail, {"name": name, "error": error}))["failures"])


def add_task(
    conn: Conn, actor: str, key: str, args: dict[str, Any], event_id: int | None = None
) -> None:
    """Add a durable task that is done when there is time; one that exists runs again."""
    values = {"actor": actor, "key": key, "args": Jsonb(args), "event_id": event_id}
    conn.execute(sql.enqueue, values)


def list_jobs(conn: Conn) -> list[dict[str, Any]]:
    """[{name, every, catch_up, next_at, last_started_at, last_finished_at, last_result, failures,
    last_error, last_failed_at, age (seconds since the last success)}]"""
    return many(conn.execute(sql.list_jobs))


def ensure_partitions(conn: Conn) -> int:
    """How many monthly partitions had to be made."""
    row = one(conn.execute(sql.ensure_partitions))
    return int(row["made"])
