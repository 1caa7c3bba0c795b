"""Durable tasks: rows of outbox that live until their work is done.

A task is inserted in the transaction of the change that causes it (SQL function `enqueue`), leased
by one worker at a time, and deleted in the transaction of its effect. Redis only wakes workers up.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.connections import Conn, many, one
from db.presentation.addresses import without_addresses
from db.queries import load
from db.runtime.settings import settings

sql = load("durable/outbox")

LOOKED_AT = 2500
"""Due tasks that are looked at, to find those of other gateway accounts: a few more than
SAGA_BACKLOG, with which the lanes of an account pause."""

CLAIMS_BESIDE_OTHERS = 2
"""Leases without an outcome after which a task is in quarantine: before that, another task of the
process may have been the cause. Two, because one crash should not send all tasks of a process
there."""


@dataclass(frozen=True)
class DueTask:
    """A task that a message is to be sent for. claims: leases without an outcome.
    gateway_account_id: only where the tasks of an account have their share."""

    id: int
    actor: str
    priority: int
    claims: int
    gateway_account_id: int | None = None

    @property
    def in_quarantine(self) -> bool:
        return self.claims >= CLAIMS_BESIDE_OTHERS


@dataclass(frozen=True)
class Task:
    """A task that this worker has leased. claims: leases without an outcome, including this one."""

    id: int
    actor: str
    key: str | None
    args: dict[str, Any]
    event_id: int | None
    claims: int
    failures: int
    trace: str | None


def list_due_queues(conn: Conn, queues: Collection[str]) -> list[str]:
    """Those of the queues that have a task for which a message is to be sent now."""
    rows = conn.execute(sql.list_due_queues, {"queues": list(queues)})
    return [row["queue"] for row in rows]


def get_snapshot(conn: Conn) -> str:
    """Which transactions a statement sees now. The same text as before means that none has
    committed in between: all that is read is as it was."""
    return str(one(conn.execute(sql.get_snapshot))["snapshot"])


def take_due(conn: Conn, queue: str, limit: int) -> list[DueTask]:
    """Take at most `limit` tasks of a queue that messages are to be sent for now."""
    values = {"queue": queue, "limit": limit, "pace": settings().task_pace}
    rows = conn.execute(sql.take_due, values)
    return [DueTask(**row) for row in rows]


def take_due_in_shares(conn: Conn, queue: str, limit: int, share: int) -> list[DueTask]:
    """The same, but of each gateway account at most `share` tasks that no worker has yet, and its
    events take turns."""
    values = {"queue": queue, "limit": limit, "pace": settings().task_pace}
    rows = conn.execute(sql.take_due_in_shares, values | {"share": share, "ahead": LOOKED_AT})
    return [DueTask(**row) for row in rows]


def lease(
    conn: Conn, ids: list[int], token: UUID, seconds: float, worker: str, *, alone: bool
) -> list[Task]:
    """Lease those of the tasks that are due and not leased, for `seconds`.

    worker: the name of this worker, for the task's history. alone: this process has no other task;
    tasks in quarantine are leased only to such a process.
    """
    values = {"ids": ids, "token": token, "seconds": seconds * settings().task_pace}
    values |= {"worker": worker, "alone": alone, "beside_others": CLAIMS_BESIDE_OTHERS}
    rows = conn.execute(sql.lease, values)
    return [Task(**row) for row in rows]


def lock(conn: Conn, ids: list[int], token: UUID) -> set[int]:
    """Lock the tasks that this token still has, until the transaction ends; their ids."""
    return {row["id"] for row in conn.execute(sql.lock, {"ids": ids, "token": token})}


def renew(conn: Conn, ids: list[int], token: UUID, seconds: float, *, progress: bool) -> None:
    """Extend a lease. progress: the work so far is kept, so earlier deaths do not count."""
    values = {"ids": ids, "token": token, "seconds": seconds * settings().task_pace}
    values["progress"] = progress
    conn.execute(sql.renew, values)


def finish(conn: Conn, ids: Iterable[int], token: UUID, *, for_good: bool = False) -> None:
    """Delete tasks that are done. for_good: also those that were marked to run again."""
    conn.execute(sql.finish, {"ids": list(ids), "token": token, "for_good": for_good})


def resolve(conn: Conn, ids: list[int]) -> None:
    """Resolve the dead letters of tasks that were kept and are done now."""
    conn.execute(sql.resolve, {"ids": ids})


def retry(
    conn: Conn,
    ids: list[int],
    token: UUID,
    error: str,
    delay: float,
    *,
    counts: bool,
    put_off: bool = False,
) -> None:
    """Hand the tasks back, to run in `delay` seconds.

    counts: this attempt was a failure. put_off: they wait for what others do.
    """
    values = {"ids": ids, "token": token, "error": without_addresses(error), "counts": int(counts)}
    values |= {"delay": delay * settings().task_pace, "put_off": put_off}
    conn.execute(sql.retry, values)


def release(conn: Conn, ids: list[int], tokens: list[UUID], why: str) -> int:
    """Hand back the tasks that are leased under these tokens, as if they had not been leased, and
    return how many there were."""
    return conn.execute(sql.release, {"ids": ids, "tokens": tokens, "why": why}).rowcount


def add_dead_letter(conn: Conn, task: Task, queue: str, reason: str) -> None:
    """Add a dead letter for a fact that a task found; the task itself goes on."""
    about = {"actor": task.actor, "key": task.key, "event_id": task.event_id}
    values = about | {"args": Jsonb(task.args), "queue": queue}
    values["reason"] = without_addresses(reason)
    conn.execute(sql.add_dead_letter, values)


def dead_letter(
    conn: Conn, ids: list[int], token: UUID, reason: str, *, keep: bool, attempt: bool = True
) -> None:
    """Make dead letters of the tasks; with `keep` the tasks are kept and tried again.

    attempt: this attempt failed for the reason, so it is added to the history.
    """
    values = {"ids": ids, "token": token, "keep": keep, "attempt": attempt}
    values["reason"] = without_addresses(reason)
    conn.execute(sql.dead_letter_tasks, values)


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
