"""Periodic jobs. Schedule and last run of each are a row, so that several clocks may run."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.presentation.addresses import without_addresses
from db.queries import load

sql = load("durable/jobs")


def declare(
    conn: Conn, name: str, every: timedelta, catch_up: int = 0, at: timedelta | None = None
) -> None:
    """Add a job or update its schedule. catch_up: how many missed ticks are run later; at: the
    time of day (UTC) of its ticks, which otherwise count from its first declaration."""
    values = {"name": name, "every": every, "catch_up": catch_up, "at": at}
    conn.execute(sql.declare, values)


def forget_others(conn: Conn, names: Collection[str]) -> None:
    """Delete all jobs except these."""
    conn.execute(sql.forget_others, {"names": list(names)})


def list_due(conn: Conn) -> set[str]:
    """Names of the jobs that are due. A clock takes a job's tick before it runs the job."""
    return {row["name"] for row in conn.execute(sql.list_due)}


def take_tick(conn: Conn, name: str) -> datetime | None:
    """Take the tick of a job, to run it in this transaction. None: the job is not due, or another
    clock has it."""
    row = maybe(conn.execute(sql.take_tick, {"name": name}))
    return row["tick"] if row else None


def finish(conn: Conn, name: str, result: Any) -> None:
    conn.execute(sql.finish, {"name": name, "result": Jsonb(result)})


def fail(conn: Conn, name: str, error: str) -> int:
    """Record that a job failed, and return how many times in a row it has."""
    values = {"name": name, "error": without_addresses(error)}
    return int(one(conn.execute(sql.fail, values))["failures"])


def add_task(
    conn: Conn, actor: str, key: str, args: dict[str, Any], event_id: int | None = None
) -> None:
    """Add a durable task with low priority; one that exists runs again."""
    values = {"actor": actor, "key": key, "args": Jsonb(args), "event_id": event_id}
    conn.execute(sql.enqueue, values)


def list_jobs(conn: Conn) -> list[dict[str, Any]]:
    """All jobs: [{name, every, catch_up, next_at, last_started_at, last_finished_at, last_result,
    failures, last_error, last_failed_at, age (seconds since the last success)}]."""
    return many(conn.execute(sql.list_jobs))


def ensure_partitions(conn: Conn) -> int:
    """Make the monthly partitions that are missing, and return how many there were."""
    row = one(conn.execute(sql.ensure_partitions))
    return int(row["made"])
