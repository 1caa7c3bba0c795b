"""Failed tasks: a task runs again after a growing pause, or becomes a dead letter."""

import random

import structlog

from db.connections import Conn, transaction
from db.durable import outbox
from db.presentation.addresses import without_addresses
from db.runtime.errors import UsherError
from tasks.durable.leases import Lease, LeaseLost, Policy, Stopping, TryLater

log = structlog.get_logger()


def record_failure(lease: Lease, error: BaseException) -> None:
    """Hand the tasks back to be tried later, or dead-letter them.

    If Postgres cannot be reached, the lease runs out and the relay sends them again.
    """
    if isinstance(error, LeaseLost):
        log.info("lease lost")
        return
    with transaction() as conn:
        left = outbox.lock(conn, lease.ids, lease.token)
        for task in lease.tasks:
            if task.id in left:
                hand_back(conn, lease, task, error)


def hand_back(conn: Conn, lease: Lease, task: outbox.Task, error: BaseException) -> None:
    """Record one task's failure by its own history, which differs from its neighbours'."""
    policy, ids, token = lease.policy, [task.id], lease.token
    text = describe(error)
    if isinstance(error, Stopping):  # the claims of its earlier workers still count
        outbox.release(conn, ids, [token], text)
        return
    if isinstance(error, TryLater):
        outbox.retry(conn, ids, token, text, error.seconds, counts=False, put_off=error.put_off)
        return
    failures = task.failures + 1
    if (isinstance(error, UsherError) and error.permanent) or failures >= policy.failures:
        log.error("dead letter", task_id=task.id, error=text, failures=failures)
        outbox.dead_letter(conn, ids, token, text, keep=policy.keep)
    else:
        log.warning("task failed", task_id=task.id, error=text, failures=failures)
    outbox.retry(conn, ids, token, text, backoff(policy, failures), counts=True)


def backoff(policy: Policy, failures: int) -> float:
    """A random number of seconds up to base_delay * 2 ** failures (exponential, full jitter)."""
    longest = min(policy.longest_delay, policy.base_delay * 2 ** min(failures, 32))
    return random.uniform(0, longest)


def describe(error: BaseException) -> str:
    """Text for logs and dead letters, without the e-mail addresses that mail servers repeat."""
    return without_addresses(f"{type(error).__name__}: {error}")
