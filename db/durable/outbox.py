"""Durable tasks: rows of outbox that live until their work is done.

A task is inserted in the transaction of the change that causes it (SQL function `enqueue`), leased
by one worker at a time, and deleted in the transaction of its effect. Redis only wakes workers up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.connections import Conn, many
from db.queries import load
from db.runtime.settings import settings

sql = load("durable/outbox")

CLAIMS_BESIDE_OTHERS = 2
"""Leases without an outcome that may be a neighbour's fault; then a task is in quarantine. Two,
since a crash that has nothing to do with its tasks should not send all of them there."""


@dataclass(frozen=True)
class DueTask:
    """A task for which a message is to be sent. claims: so many workers may have died over it."""

    id: int
    actor: str
    priority: int
    claims: int

    @property
    def in_quarantine(self) -> bool:
        return self.claims >= CLAIMS_BESIDE_OTHERS


@dataclass(frozen=True)
class Task:
    """A task that this worker has leased. claims: leases without an outcome, this one included."""

    id: int
    actor: str
    key: str | None
    args: dict[str, Any]
    event_id: int | None
    claims: int
    failures: int
    trace: str | None


def take_due(conn: Conn, queue: str, limit: int) -> list[DueTask]:
    """At most `limit` tasks of a queue that are due to be sent now."""
    values = {"queue": queue, "limit": limit, "pace": settings().task_pace}
    rows = conn.execute(sql.take_due, values)
    return [DueTask(**row) for row in rows]


def lease(
    conn: Conn, ids: list[int], token: UUID, seconds: float, worker: str, *, alone: bool
) -> list[Task]:
    """Those of the tasks that no worker has and that are due, now ours for `seconds`.

    worker: who we are, for the history of a task that we might die over. alone: this process has no
    other task in hand; tasks in quarantine are leased to no other.
    """
    values = {"ids": ids, "token": token, "seconds": seconds * settings().task_pace}
    values |= {"worker": worker, "alone": alone, "beside_others": CLAIMS_BESIDE_OTHERS}
    rows = conn.execute(sql.lease, values)
    return [Task(**row) for row in rows]


def lock(conn: Conn, ids: list[int], token: UUID) -> set[int]:
    """Lock the tasks that are still ours until the transaction ends."""
    return {row["id"] for row in conn.execute(sql.lock, {"ids": ids, "token": token})}


def renew(conn: Conn, ids: list[int], token: UUID, seconds: float) -> None:
    values = {"ids": ids, "token": token, "seconds": seconds * settings().task_pace}
    conn.execute(sql.renew, values)


def finish(conn: Conn, ids: Iterable[int], token: UUID) -> None:
    conn.execute(sql.finish, {"ids": list(ids), "token": token})


def resolve(conn: Conn, ids: list[int]) -> None:
    """What went on behind its dead letter has come to its end: nobody need look at the letter."""
    conn.execute(sql.resolve, {"ids": ids})


def retry(
    conn: Conn, ids: list[int], token: UUID, error: str, delay: float, *, counts: bool
) -> None:
    """Hand the tasks back to run in `delay` seconds; `counts` tells whether it was a failure."""
    values = {"ids": ids, "token": token, "error": error, "counts": int(counts)}
    values["delay"] = delay * settings().task_pace
    conn.execute(sql.retry, values)


def release(conn: Conn, ids: list[int], tokens: list[UUID]) -> int:
    """Let others have what is leased under these tokens: we are about to end. How many it was."""
    return conn.execute(sql.release, {"ids": ids, "tokens": tokens}).rowcount


def call_out(conn: Conn, task: Task, queue: str, reason: str) -> None:
    """A dead letter of what a task has found, while it comes to its end all the same."""
    about = {"actor": task.actor, "key": task.key, "event_id": task.event_id}
    values = about | {"args": Jsonb(task.args), "queue": queue, "reason": reason}
    conn.execute(sql.call_out, values)


def bury(
    conn: Conn, ids: list[int], token: UUID, reason: str, *, keep: bool, attempt: bool = True
) -> None:
    """Make dead letters of the tasks; with `keep` they also go on being tried.

    attempt: the reason is what became of this attempt, and belongs to the history, too.
    """
    values = {"ids": ids, "token": token, "reason": reason, "keep": keep, "attempt": attempt}
    conn.execute(sql.bury_tasks, values)


def list_tasks(
    conn: Conn,
    *,
    starting_after: int,
    limit: int,
    actor: str | None = None,
    event_id: int | None = None,
    state: str | None = None,
) -> list[dict[str, Any]]:
    """Tasks that are not done, oldest first. state: due, leased or waiting; or failing."""
    values = {"starting_after": starting_after, "limit": limit}
    wanted = {"actor": actor, "event_id": event_id, "state": state}
    return many(conn.execute(sql.list_tasks, values | wanted))
