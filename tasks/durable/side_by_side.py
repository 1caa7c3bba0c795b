"""Work side by side: threads beside that of a message, one for each task that makes a call.

In a round such threads do the same thing at the same time. The message's thread takes what they
hand in until shortly after the first of them. A thread that is later, or has nothing of the usual
kind, goes on alone with its task. So one slow call delays no other task.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Any, Generic, TypeVar

import structlog

from db.runtime.errors import UsherError
from tasks.durable.backoff import record_failure
from tasks.durable.leases import Lease, TryLater
from tasks.durable.middleware import bound_to

log = structlog.get_logger()

THREADS = 100
"""Threads of a process for calls: as many as may be under way at the same time."""

FULL = 0.5
"""Seconds until a task is tried again for which no thread was free."""

WINDOW = 0.05
"""Seconds after the first answer for which a round waits for the others."""

T = TypeVar("T")


class Room:
    """How many threads are free."""

    def __init__(self, free: int) -> None:
        self.free, self.changed = free, threading.Lock()

    def take(self, count: int) -> int:
        """Take so many, or as many as are free; how many they are."""
        with self.changed:
            taken = min(count, self.free)
            self.free -= taken
            return taken

    def give_back(self, count: int) -> None:
        with self.changed:
            self.free += count


@cache
def threads() -> ThreadPoolExecutor:
    """The threads of this process; made on first use, which is after a fork."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="beside")


room = Room(THREADS)


class Beside:
    """What goes on in threads beside that of a message, and ends before it."""

    def __init__(self) -> None:
        self.futures: list[Future[None]] = []

    def start(self, work: Callable[..., None], lease: Lease, *args: Any) -> None:
        """Begin work for some of the message's tasks. If it fails, only these have failed."""
        self.futures.append(threads().submit(carry_out, work, lease, *args))


@contextmanager
def beside(lease: Lease) -> Iterator[tuple[Lease, Beside]]:
    """Threads for as many of the tasks as there are free ones, and the lease of these; the others
    are handed back, since a task that waits here would keep its lease and its message's thread. The
    block ends when all threads have ended. Those that still run when nothing more is begun keep a
    thread each: a slow call does not keep those of the others."""
    count = room.take(len(lease.tasks))
    others = Beside()
    try:
        if count < len(lease.tasks):
            record_failure(lease.of(lease.tasks[count:]), TryLater(FULL, "no thread is free"))
        yield lease.of(lease.tasks[:count]), others
    finally:
        late = [future for future in others.futures if not future.done()][-count:]
        room.give_back(count - len(late))
        for future in late:
            future.add_done_callback(lambda _: room.give_back(1))
        wait(others.futures)


def carry_out(work: Callable[..., None], lease: Lease, *args: Any) -> None:
    """Do the work, and record its failure as the middleware records that of a message."""
    with bound_to(lease):
        try:
            work(lease, *args)
        except Exception as error:
            if not isinstance(error, UsherError):  # as Dramatiq tells of a message's
                log.error("task failed with unhandled exception", exc_info=error)
            try:
                record_failure(lease, error)
            except Exception as why:  # Postgres is away: the lease runs out
                log.warning("failure not recorded", error=f"{type(why).__name__}: {why}")


class Round(Generic[T]):
    """What some threads hand in, until shortly after the first of them."""

    def __init__(self, members: int) -> None:
        self.out = members
        self.taken: list[T] = []
        self.is_open = True
        self.changed = threading.Condition()

    def hand_in(self, what: T) -> bool:
        """False: the round has ended without it."""
        with self.changed:
            if self.is_open:
                self.taken.append(what)
                self.out -= 1
                self.changed.notify_all()
            return self.is_open

    def step_out(self) -> None:
        """Hand in nothing."""
        with self.changed:
            self.out -= 1
            self.changed.notify_all()

    def end(self) -> list[T]:
        """Wait for what is handed in, and take no more."""
        with self.changed:
            self.changed.wait_for(lambda: self.taken or self.out <= 0)
            until = time.monotonic() + WINDOW
            while self.out > 0 and (left := until - time.monotonic()) > 0:
                self.changed.wait(left)
            self.is_open = False
            return self.taken
