"""Leases: the exclusive right of one worker to a task until a time.

Every transaction of a task begins by locking its row by id and token, and the last one deletes it.
If the process dies, the task is neither finished nor failed, and it is leased again when its lease
has run out. Claims count these deaths. After two of them the task runs alone in its process
(tasks/durable/quarantine.py), so that no task becomes a dead letter because of its neighbours.

A process that is told to stop ends its tasks between two steps (`stop_if_told`) and hands the rest
back, so that another worker has them at once (tasks/durable/shutdown.py).
"""

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from db.connections import Conn, transaction
from db.durable import outbox
from db.runtime.errors import UsherError
from db.runtime.faults import reach
from tasks.durable.quarantine import quarantine

log = structlog.get_logger()

MAX_CLAIMS = 5
"""Leases without an outcome before a task is a dead letter: two beside others, three alone."""


@dataclass(frozen=True)
class Policy:
    """How an actor's tasks are leased and retried. Times in seconds.

    batch: how many tasks one message may name. failures: how many make a task a dead letter. keep:
    the task of a dead letter is still tried every `longest_delay`, because it must come to an end,
    like a payment.
    """

    queue: str
    batch: int = 1
    lease: float = 60
    failures: int = 12
    base_delay: float = 0.5
    longest_delay: float = 300
    keep: bool = False


class LeaseLost(UsherError):
    """The task is not leased to this worker any more; nothing was changed."""

    permanent = False


class MovedOn(UsherError):
    """The task's object has changed meanwhile: read it again."""

    permanent = False


class TryLater(UsherError):
    """Not a failure: the task runs again in `seconds`.

    put_off: it waits for what others do, and is no backlog that more workers would end. Deaths of
    its earlier workers still count.
    """

    permanent = False

    def __init__(self, seconds: float, why: str, *, put_off: bool = False) -> None:
        super().__init__(why)
        self.seconds, self.put_off = seconds, put_off


class Stopping(TryLater):
    """This process ends, or makes room for a task that runs alone; another worker goes on."""

    def __init__(self, why: str = "its worker was told to stop") -> None:
        super().__init__(0, why)


told_to_stop = threading.Event()


def stop_if_told() -> None:
    """Stop long work between two steps, if the process is to stop. Errors: Stopping."""
    if told_to_stop.is_set():
        raise Stopping
    if quarantine.is_asked_for():
        raise Stopping("its worker makes room for a task that runs alone")


@dataclass
class Lease:
    """The exclusive right of this worker to some tasks."""

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

        Errors: LeaseLost when another worker has one of them; everything is rolled back.
        """
        with transaction(f"task:{self.tasks[0].actor}") as conn:
            if outbox.lock(conn, self.ids, self.token) != set(self.ids):
                raise LeaseLost
            yield conn

    @contextmanager
    def shared_transaction(self) -> Iterator[tuple[Conn, set[int]]]:
        """A transaction that begins by locking those of the tasks that this worker still has. Their
        ids; the others are another worker's, and are left alone.
        """
        with transaction(f"task:{self.tasks[0].actor}") as conn:
            yield conn, outbox.lock(conn, self.ids, self.token)

    def of(self, tasks: Iterable[outbox.Task]) -> "Lease":
        """The lease of some of the tasks, which end or fail by themselves."""
        return Lease(self.token, list(tasks), self.policy)

    def finish(self, conn: Conn, ids: list[int] | None = None, *, for_good: bool = False) -> None:
        """Delete the tasks, or those of them with these ids, in the transaction of their effect.

        for_good: this effect leaves nothing to do, whatever has asked for another run until now.
        """
        outbox.finish(conn, self.ids if ids is None else ids, self.token, for_good=for_good)
        reach("after deletion")
        if self.policy.keep and any(task.failures for task in self.tasks):
            outbox.resolve(conn, self.ids)
        self.finished = ids is None

    def add_dead_letter(self, conn: Conn, reason: str) -> None:
        """Add a dead letter for a person, independent of the task's own outcome."""
        outbox.add_dead_letter(conn, self.task, self.policy.queue, reason)

    def renew(self, conn: Conn) -> None:
        """Record progress: the next step has the whole time of the lease again."""
        outbox.renew(conn, self.ids, self.token, self.policy.lease, progress=True)

    def extend(self, conn: Conn) -> None:
        """Take the whole time of the lease again for work that would begin anew if this worker
        died: deaths go on being counted."""
        outbox.renew(conn, self.ids, self.token, self.policy.lease, progress=False)


current_lease: ContextVar[Lease] = ContextVar("lease")
"""The lease of the task that this thread is working on."""

policies: dict[str, Policy] = {}
"""Policies by actor; the relay reads from them which tasks may share a message."""

in_hand: dict[UUID, Lease] = {}
"""Leases that threads of this process are working on, by token."""


def take_lease(ids: list[int], policy: Policy, *, alone: bool = False) -> Lease:
    """Lease what is free of the tasks; dead-letter those over which too many workers died.

    alone: this process has no other task; only then are tasks in quarantine leased.
    """
    token = uuid4()
    with transaction() as conn:
        tasks = outbox.lease(conn, ids, token, policy.lease, worker_name(), alone=alone)
        poison = [task.id for task in tasks if task.claims > MAX_CLAIMS]
        if poison:
            log.error("dead letter", task_ids=poison, error="their workers died over them")
            outbox.dead_letter(conn, poison, token, "poison", keep=policy.keep, attempt=False)
            outbox.retry(
                conn, poison, token, "workers died over it", policy.longest_delay, counts=True
            )
    return Lease(token, [task for task in tasks if task.claims <= MAX_CLAIMS], policy)


def worker_name() -> str:
    """The machine and process, for finding its log."""
    return f"{socket.gethostname()}:{os.getpid()}"
