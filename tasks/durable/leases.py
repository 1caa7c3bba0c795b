"""Leases: the exclusive right of one worker to a task, until a time.

Every transaction of a task begins by locking its row by id and token, and the last one deletes it.
A row that is neither finished nor failed, because the process died, is leased again when its lease
has run out; claims count these deaths. After two of them the task is alone in its process
(tasks/durable/quarantine.py): no task dies of its neighbours.

A process that is told to stop ends what it has in hand between two steps (`stop_if_told`), and
hands the rest back, so that another worker goes on at once (tasks/durable/shutdown.py).
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from db.connections import Conn, transaction
from db.durable import outbox
from db.runtime.errors import UsherError
from tasks.durable.quarantine import quarantine

log = structlog.get_logger()

MAX_CLAIMS = 5
"""Leases without an outcome before a task is a dead letter: two beside others, three alone."""


@dataclass(frozen=True)
class Policy:
    """How an actor's tasks are leased and retried. Times in seconds.

    batch: how many tasks one message may name. failures: after so many a task is a dead letter.
    keep: a dead letter does not end the task, which goes on being tried every `longest_delay`; for
    what must come to an end, like a payment.
    """

    queue: str
    batch: int = 1
    lease: float = 60
    failures: int = 12
    base_delay: float = 0.5
    longest_delay: float = 300
    keep: bool = False


class LeaseLost(UsherError):
    """Somebody else has this task now; nothing was changed."""

    permanent = False


class MovedOn(UsherError):
    """What the task is about has changed meanwhile: read again what it is."""

    permanent = False


class TryLater(UsherError):
    """Not a failure: the task is to run again in `seconds`."""

    permanent = False

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(why)
        self.seconds = seconds


class Stopping(TryLater):
    """This process is about to end, or to be left to one task; another worker goes on."""

    def __init__(self, why: str = "its worker was told to stop") -> None:
        super().__init__(0, why)


told_to_stop = threading.Event()


def stop_if_told() -> None:
    """Long work asks between two steps whether it may begin another. Errors: Stopping."""
    if told_to_stop.is_set():
        raise Stopping
    if quarantine.wanted:
        raise Stopping("it makes way for a task that has to be alone")


@dataclass
class Lease:
    """Tasks that this worker, and nobody else, may finish."""

    token: UUID
    tasks: list[outbox.Task]
    policy: Policy
    finished: bool = False

    @property
    def task(self) -> outbox.Task:
        """The task, for actors that take one at a time."""
        (task,) = self.tasks
        return task

    @property
    def ids(self) -> list[int]:
        return [task.id for task in self.tasks]

    @contextmanager
    def transaction(self) -> Iterator[Conn]:
        """A transaction that begins by locking the tasks.

        Errors: LeaseLost when one of them is not ours any more; everything is rolled back.
        """
        with transaction(f"task:{self.tasks[0].actor}") as conn:
            if outbox.lock(conn, self.ids, self.token) != set(self.ids):
                raise LeaseLost
            yield conn

    def finish(self, conn: Conn) -> None:
        """Delete the tasks, in the transaction of their effect."""
        outbox.finish(conn, self.ids, self.token)
        if self.policy.keep and any(task.failures for task in self.tasks):
            outbox.resolve(conn, self.ids)
        self.finished = True

    def call_out(self, conn: Conn, reason: str) -> None:
        """A dead letter for a person to look at, whatever else becomes of the task."""
        outbox.call_out(conn, self.task, self.policy.queue, reason)

    def renew(self, conn: Conn) -> None:
        """Something was achieved, and what comes next has the whole time again."""
        outbox.renew(conn, self.ids, self.token, self.policy.lease)


current_lease: ContextVar[Lease] = ContextVar("lease")
"""The lease of the task that this thread is working on."""

policies: dict[str, Policy] = {}
"""By actor; the relay reads from it which tasks share a message."""

in_hand: dict[UUID, Lease] = {}
"""Leases that threads of this process are working on, by token."""


def take_lease(ids: list[int], policy: Policy, *, alone: bool = False) -> Lease:
    """Lease what is free of the tasks; those that died on their workers too often are buried.

    alone: nothing else is in hand in this process; without it, tasks in quarantine are left.
    """
    token = uuid4()
    with transaction() as conn:
        tasks = outbox.lease(conn, ids, token, policy.lease, worker_name(), alone=alone)
        poison = [task.id for task in tasks if task.claims > MAX_CLAIMS]
        if poison:
            log.error("tasks died with their workers too often", task_ids=poison)
            outbox.bury(conn, poison, token, "poison", keep=policy.keep, attempt=False)
            outbox.retry(
                conn, poison, token, "workers died over it", policy.longest_delay, counts=True
            )
    return Lease(token, [task for task in tasks if task.claims <= MAX_CLAIMS], policy)


def worker_name() -> str:
    """Which process on which machine, for people who look for its log."""
    return f"{socket.gethostname()}:{os.getpid()}"
