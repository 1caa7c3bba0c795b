"""Work side by side: threads beside that of a message, one for each task that makes a call.

What they bring back the message's thread takes as it comes, several at a time: it waits for more
only for a moment after each. So one slow call delays no other task, and the busier the machine is,
the more come together. A thread that brings nothing of the usual kind goes on alone with its task.
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

GAP = 0.05
"""Seconds for which the next of those that are out is waited for: one of them may be slow."""

WINDOW = 0.15
"""Seconds after the first for which others are waited for at most."""

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

    def __init__(self, places: int) -> None:
        self.places = places  # threads that no other message has
        self.futures: list[Future[None]] = []

    def running(self) -> list[Future[None]]:
        return [future for future in self.futures if not future.done()]

    def keep(self, places: int) -> None:
        """Leave the others of its threads to other messages."""
        more = max(0, self.places - places)
        self.places -= more
        room.give_back(more)

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
    others = Beside(count)
    try:
        if count < len(lease.tasks):
            record_failure(lease.of(lease.tasks[count:]), TryLater(FULL, "no thread is free"))
        yield lease.of(lease.tasks[:count]), others
    finally:
        late = others.running()[-others.places :] if others.places else []
        others.keep(len(late))
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


class Returns(Generic[T]):
    """What threads bring back."""

    def __init__(self) -> None:
        self.out = 0
        self.back: list[T] = []
        self.changed = threading.Condition()

    def expect(self) -> None:
        """One more thread is out."""
        with self.changed:
            self.out += 1

    def come_back(self, *brought: T) -> None:
        """A thread is back, with something or with nothing."""
        with self.changed:
            self.out -= 1
            self.back += brought
            self.changed.notify_all()

    def take(self) -> list[T]:
        """Wait for what is brought next, and shortly for more. Nothing: none is out any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.back or self.out == 0)
            until = time.monotonic() + WINDOW
            while self.out > 0 and self.one_is_back(min(GAP, until - time.monotonic())):
                pass
            brought, self.back = self.back, []
            return brought

    def one_is_back(self, seconds: float) -> bool:
        """Wait for another one. False: none came in so many seconds."""
        out = self.out
        return seconds > 0 and self.changed.wait_for(lambda: self.out < out, seconds)
