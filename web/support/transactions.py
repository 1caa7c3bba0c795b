"""Transactions that begin again when they lose to another one, which costs the client only time."""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

import structlog
from prometheus_client import Counter
from psycopg import OperationalError
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure

from db.connections import Conn, transaction

log = structlog.get_logger()

Result = TypeVar("Result")

LOST: dict[type[OperationalError], str] = {
    DeadlockDetected: "deadlock",
    SerializationFailure: "serialization",
    LockNotAvailable: "lock_timeout",
}
"""What another transaction may do to one that is well, and the metric's label for it."""

TRIES = 5
WAITS = 2
"""Tries of a transaction that waits for a lock: each takes the whole time limit of a statement."""

RETRIED = Counter(
    "usher_retried_transactions", "Transactions that lost to another and began again", ["reason"]
)


def retried(work: Callable[[Conn], Result], acting: str | None = None) -> Result:
    """Do the work in a transaction; begin again when it loses to another one.

    work: has no effects but those of its transaction. Errors: those of LOST, after TRIES or WAITS.
    """
    for tries in count(1):
        try:
            with transaction(acting) as conn:
                return work(conn)
        except tuple(LOST) as error:
            reason = LOST[type(error)]
            if tries >= (WAITS if reason == "lock_timeout" else TRIES):
                raise
            log.warning("transaction begins again", reason=reason, tries=tries)
            RETRIED.labels(reason).inc()
    raise AssertionError("it returns or raises")
