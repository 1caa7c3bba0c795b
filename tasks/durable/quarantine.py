"""Quarantine: a task that may kill its workers runs alone in a process.

When a process dies, all of its tasks get a claim, whichever of them was the cause. So only the
first deaths of a task may happen beside others (CLAIMS_BESIDE_OTHERS in db/durable/outbox.py).
After those the relay's message says `alone`, and no other message can lease the task. A worker
begins it when it has no other task, and begins no other until it has ended. If the process dies
then, this task was the cause.
"""

import threading
from typing import Any

import dramatiq
from dramatiq.middleware import SkipMessage

from db.runtime.settings import settings

LONGEST_WAIT = 60.0
"""Seconds that a message waits for a quarantine to begin or to end, so that a task that hangs does
not block its process for ever. (A task that takes longer may get neighbours again.)"""


class Quarantine(dramatiq.Middleware):
    """Admits messages to this process: many side by side, or one alone."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside: set[int] = set()
        self.alone: int | None = None
        self.wanted = 0
        self.closed = False

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.closed = False

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        with self.changed:
            if message.options.get("alone"):
                self.enter_alone()
            else:
                self.enter()

    def enter(self) -> None:
        """Wait while a task runs alone or waits to. Errors: SkipMessage when told to stop."""
        if not self.is_open():
            self.wait_for(self.is_open)
            if self.closed:
                raise SkipMessage
        self.inside.add(threading.get_ident())

    def enter_alone(self) -> None:
        """Wait until this process has no other task. Errors: SkipMessage when that takes too long,
        or when another message waits for it or runs alone; the relay sends another message.
        """
        if self.wanted or self.alone is not None:
            raise SkipMessage
        self.wanted += 1
        try:
            if not self.wait_for(lambda: not self.inside) or self.closed:
                raise SkipMessage
            self.alone = threading.get_ident()
            self.inside.add(self.alone)
        finally:
            self.wanted -= 1
            self.changed.notify_all()

    def is_asked_for(self) -> bool:
        """Whether a task waits to run alone, so that this thread's task should make room for it."""
        return bool(self.wanted) and self.alone != threading.get_ident()

    def is_open(self) -> bool:
        return self.alone is None and not self.wanted

    def wait_for(self, condition: Any) -> bool:
        """Wait for the condition, or until the worker is told to stop; return the condition."""
        longest = LONGEST_WAIT * settings().task_pace
        self.changed.wait_for(lambda: self.closed or condition(), longest)
        return bool(condition())

    def leave(self) -> None:
        """Record that this thread has ended its message, or was not admitted."""
        with self.changed:
            self.inside.discard(threading.get_ident())
            if self.alone == threading.get_ident():
                self.alone = None
            self.changed.notify_all()

    def after_process_message(self, *args: Any, **kwargs: Any) -> None:
        self.leave()

    def after_skip_message(self, *args: Any, **kwargs: Any) -> None:
        self.leave()


quarantine = Quarantine()
