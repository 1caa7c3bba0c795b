"""The clock: what has to happen from time to time, decided by the database's clock.

Jobs are short and set-based. A tick that was missed is skipped: each job looks at the state of
things, so the next tick finds whatever the missed one would have.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog

from db import circuits, jobs, lanes, receipts, reconciliations, risk
from db.connections import Conn, transaction
from tasks import lobbies
from tasks.process import run_until_stopped

log = structlog.get_logger()

TICK = 0.5
EXPIRED_AT_ONCE = 500
"""Holds, or passes, ended in one transaction."""


def expire_holds(conn: Conn) -> dict[str, int]:
    """End holds past their deadline, and have the saga end those that are being paid."""
    expired, expiring = lanes.expire_holds(conn, EXPIRED_AT_ONCE)
    return {"expired": expired, "expiring": expiring}


def expire_passes(conn: Conn) -> dict[str, int]:
    """Give the room of passes that were not taken, or not used, to the next."""
    missed, lapsed = lanes.expire_passes(conn, EXPIRED_AT_ONCE)
    return {"missed": missed, "lapsed": lapsed}


REVIEWS_AT_ONCE = 100


def end_reviews(conn: Conn) -> dict[str, int]:
    """Approve or reject payments about which nobody has decided in time."""
    return {"ended": risk.end_reviews(conn, REVIEWS_AT_ONCE)}


PROBE_EVERY = timedelta(seconds=5)
NUMBER_EVERY = timedelta(seconds=2)


JOBS: dict[str, tuple[timedelta, Callable[[Conn], Any]]] = {
    "expire_holds": (timedelta(seconds=1), expire_holds),
    "expire_passes": (timedelta(seconds=1), expire_passes),
    "end_reviews": (timedelta(seconds=5), end_reviews),
    "probe_gateways": (PROBE_EVERY, circuits.probe_gateways),
    "number_receipts": (NUMBER_EVERY, receipts.wake),
    "tend_lobbies": (lobbies.TEND_EVERY, lobbies.tend_lobbies),
    "watch_lobbies": (lobbies.WATCH_EVERY, lobbies.watch_lobbies),
    "reconcile_recent": (reconciliations.RECENT_EVERY, reconciliations.start_recent),
    "reconcile_days": (reconciliations.DAYS_EVERY, reconciliations.start_days),
    "ensure_partitions": (timedelta(days=1), jobs.ensure_partitions),
    "purge_idempotency_keys": (timedelta(hours=1), jobs.purge_idempotency_keys),
}


def declare_jobs() -> None:
    with transaction() as conn:
        for name, (every, _) in JOBS.items():
            jobs.declare(conn, name, every)


def run_due() -> None:
    """Run each job that is due, in a transaction of its own; one's trouble is not the others'.

    Errors: ExceptionGroup, when all have had their turn.
    """
    errors = []
    for name, (_, job) in JOBS.items():
        try:
            with transaction(actor=f"clock:{name}") as conn:
                if jobs.take_tick(conn, name):
                    result = job(conn)
                    jobs.finish(conn, name, result)
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("jobs failed", errors)


def run(stop: threading.Event) -> None:
    """Tick until told to stop; Postgres need not be there all the time."""
    declared = troubled = False
    while not stop.wait(TICK):
        try:
            if not declared:
                declare_jobs()
                declared = True
            run_due()
            troubled = False
        except Exception as error:  # the next tick finds what this one would have
            if not troubled:
                log.warning("cannot tick just now", error=repr(error))
            troubled = True


if __name__ == "__main__":
    run_until_stopped("clock", run)
