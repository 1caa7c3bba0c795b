"""Around each message: the lease of the tasks that it names, and the record of a failure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import SkipMessage

from db.runtime.logs import bind_trace
from tasks.durable.backoff import record_failure
from tasks.durable.leases import Lease, current_lease, in_hand, policies, take_lease

log = structlog.get_logger()


class DurableTasks(dramatiq.Middleware):
    """Leases the tasks of a message before its actor runs, and records failures."""

    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        policy = policies.get(message.actor_name)
        if policy is None:
            return
        try:
            alone = bool(message.options.get("alone"))
            lease = take_lease(message.args[0], policy, alone=alone)
        except Exception as error:
            # Dramatiq would still run the actor, with the lease of this thread's last task.
            log.warning("lease failed", error=f"{type(error).__name__}: {error}")
            raise SkipMessage from error
        if not lease.tasks:
            raise SkipMessage
        in_hand[lease.token] = lease
        current_lease.set(lease)
        bind_ids(lease)

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if message.actor_name not in policies:
            return
        try:
            if exception is not None:
                record_failure(current_lease.get(), exception)
        finally:
            in_hand.pop(current_lease.get().token, None)
            unbind_ids()


def bind_ids(lease: Lease) -> None:
    """Bind the task, its object and its trace to all lines that it logs; tasks that it enqueues
    inherit the trace."""
    task = lease.tasks[0]
    traces = {task.trace or f"task-{task.id}" for task in lease.tasks}
    bind_trace(traces.pop() if len(traces) == 1 else None)
    structlog.contextvars.bind_contextvars(
        task_id=task.id,
        actor=task.actor,
        booking_id=task.args.get("booking_id"),
        event_id=task.event_id,
    )


def unbind_ids() -> None:
    structlog.contextvars.unbind_contextvars("task_id", "actor", "booking_id", "event_id")
    bind_trace(None)


@contextmanager
def bound_to(lease: Lease) -> Iterator[None]:
    """The same in a thread beside that of a message, while the block lasts."""
    bind_ids(lease)
    try:
        yield
    finally:
        unbind_ids()
