"""Quarantine: a task over which workers died again and again is alone in its process.

A process that dies takes all of its tasks with it, guilty or not. So only the first deaths of a
task may happen beside others (CLAIMS_BESIDE_OTHERS in db/durable/outbox.py): from then on the
relay's message says `alone`, and no other message can lease the task. A worker begins it when
nothing else is in hand, and begins nothing else until it has ended. If the process dies now, the
task is guilty.
"""

import threading
from typing import Any

import dramatiq
from dramatiq.middleware import SkipMessage

from db.runtime.settings import settings

LONGEST_WAIT = 60.0
"""Seconds that a message waits for a quarantine to begin or to end: a task that hangs does not stop
its process for ever. (A task that takes longer may get neighbours again.)"""


class Quarantine(dramatiq.Middleware):
    """Lets messages into this process: many beside each other, or one alone."""

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
        """Wait while a task is alone, or soon will be. Errors: SkipMessage when told to stop."""
        if not self.is_open():
            self.wait_for(self.is_open)
            if self.closed:
                raise SkipMessage
        self.inside.add(threading.get_ident())

    def enter_alone(self) -> None:
        """Wait until nothing is in hand. Errors: SkipMessage when that takes too long; the relay
        sends another message.
        """
        self.wanted += 1
        try:
            if not self.wait_for(lambda: not self.inside) or self.closed:
                raise SkipMessage
            self.alone = threading.get_ident()
            self.inside.add(self.alone)
        finally:
            self.wanted -= 1
            self.changed.notify_all()

    def is_open(self) -> bool:
        return self.alone is None and not self.wanted

    def wait_for(self, condition: Any) -> bool:
        """Whether the condition is true, at the latest when the worker is told to stop."""
        longest = LONGEST_WAIT * settings().task_pace
        self.changed.wait_for(lambda: self.closed or condition(), longest)
        return bool(condition())

    def leave(self) -> None:
        """This thread has ended its message, or was not let in."""
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
