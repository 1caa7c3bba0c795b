"""Durable tasks on Dramatiq: the row in Postgres is the task, a message only wakes a worker.

    @durable(queue="payments")
    def advance(lease: Lease) -> None:
        with lease.transaction() as conn:
            …
            lease.finish(conn)

The middleware leases the rows that a message names before the actor runs (leases.py), and turns an
exception into the row's next run or a dead letter (backoff.py).
"""

from collections.abc import Callable
from typing import Any

import dramatiq

from db.runtime.errors import UsherError
from tasks.durable.broker import broker
from tasks.durable.leases import Lease, Policy, current_lease, policies

Durable = dramatiq.Actor[[list[int]], None]


def durable(queue: str, **policy: Any) -> Callable[[Callable[[Lease], None]], Durable]:
    """Declare an actor whose messages name rows of outbox. Keywords: see Policy."""

    def declare(fn: Callable[[Lease], None]) -> Durable:
        policies[fn.__name__] = Policy(queue=queue, **policy)

        def run(task_ids: list[int]) -> None:
            fn(current_lease.get())

        run.__doc__ = fn.__doc__
        return dramatiq.Actor(
            run,
            broker=broker,
            actor_name=fn.__name__,
            queue_name=queue,
            priority=0,
            # The middleware logs the errors that Usher raises itself; they need no traceback.
            options={"throws": (UsherError,)},
        )

    return declare
