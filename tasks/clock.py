"""The clock: runs periodic jobs, by the database's time.

A job runs in the transaction that takes its tick, so two clocks run it only once. Jobs are short
and set-based. A job that may take seconds has a thread of its own. For longer work the job only
enqueues a durable task, which records when it is done (tasks/housekeeping.py). No job has to clean
up leases: they run out, and the relay sends the tasks again.
"""

import threading
from collections.abc import Callable, Collection
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from db.accounts import audit_log
from db.bookings import archives, bookings
from db.connections import Conn, autocommit, transaction
from db.durable import jobs
from db.feed import feed
from db.maintenance import booking_search, personal_data
from db.payments import circuits, payouts, receipts, reconciliations, reviews
from db.queue import lanes
from tasks import lobbies
from tasks.durable.process import run_until_stopped

log = structlog.get_logger()

TICK = 0.5
RAREST_LOOK = 10.0
LATENESS = 0.05
"""A thread whose jobs are all rare looks as seldom as makes them late by this part of their
interval, and by RAREST_LOOK at most."""
LONGEST_STATEMENT = 60  # seconds
EXPIRED_AT_ONCE = 500
"""Holds or passes that are ended in one transaction."""
REMINDED_AT_ONCE = 2000
"""Holds of which one transaction marks that half of the time is over."""
ARCHIVED_AT_ONCE = 20
"""Events for which one run enqueues tasks."""


@dataclass(frozen=True)
class Job:
    """A periodic job. run: gets the connection and the time of the tick.

    catch_up: how many missed ticks are run later; most jobs need none, since the next tick finds
    what a missed one would have found. at: the time of day of its ticks. apart: in a thread of its
    own. enqueues: `run` only enqueues a task, and the task records its success.
    """

    every: timedelta
    run: Callable[[Conn, datetime], Any]
    catch_up: int = 0
    at: timedelta | None = None
    apart: bool = False
    enqueues: bool = False


def expire_holds(conn: Conn, tick: datetime) -> dict[str, int]:
    """End holds past their deadline; those that are being paid are ended by the saga."""
    expired, expiring = lanes.expire_holds(conn, EXPIRED_AT_ONCE)
    return {"expired": expired, "expiring": expiring}


def remind_holders(conn: Conn, tick: datetime) -> dict[str, int]:
    """Mail buyers who have not begun to pay when half of the time is over."""
    return {"reminded": bookings.remind_holders(conn, REMINDED_AT_ONCE)}


def expire_passes(conn: Conn, tick: datetime) -> dict[str, int]:
    """End passes that were not taken or not used, so that the next entries can be admitted."""
    missed, lapsed = lanes.expire_passes(conn, EXPIRED_AT_ONCE)
    return {"missed": missed, "lapsed": lapsed}


def release_kept(conn: Conn, tick: datetime) -> dict[str, int]:
    """Sell places that are kept for wheelchairs to all, where the organiser said when."""
    return {"events": lanes.release_kept(conn)}


REVIEWS_AT_ONCE = 100


def end_reviews(conn: Conn, tick: datetime) -> dict[str, int]:
    """Approve or reject payments whose review was not decided in time."""
    return {"ended": reviews.end_reviews(conn, REVIEWS_AT_ONCE)}


ACTS_AT_ONCE = 1000


def chain_acts(conn: Conn, tick: datetime) -> dict[str, int]:
    """Chain what was added to the audit log."""
    return {"chained": audit_log.chain_acts(conn, ACTS_AT_ONCE)}


MESSAGES_AT_ONCE = 5000
"""Messages that are numbered in one tick: so many a second. A larger sale is told a little later,
and never loses more than a tenth of a core to it."""


def number_feed(conn: Conn, tick: datetime) -> dict[str, Any]:
    """Number what is new for the feeds of organisations."""
    numbered = feed.number_feed(conn, MESSAGES_AT_ONCE)
    if numbered.restarted:
        log.warning("feed restarted: the database was restored into another server")
    return {"told": numbered.told, "remains": numbered.remains}


ERASED_AT_ONCE = 20


def erase_accounts(conn: Conn, tick: datetime) -> dict[str, int]:
    """Erase personal data whose erasure was postponed, where nothing is under way any more, and
    what came in after an erasure."""
    erased = personal_data.erase_due(conn, ERASED_AT_ONCE)
    return {"erased": erased, "swept": personal_data.sweep_erased(conn, ERASED_AT_ONCE)}


def index_bookings(conn: Conn, tick: datetime) -> dict[str, bool]:
    """Enqueue a task if bookings changed since organisers can find them."""
    is_due = booking_search.is_due(conn)
    if is_due:
        jobs.add_task(conn, "index_bookings", "index_bookings", {})
    return {"is_due": is_due}


def begin_archives(conn: Conn, tick: datetime) -> dict[str, int]:
    """Enqueue a task for each event that may be archived."""
    due = archives.list_due(conn, ARCHIVED_AT_ONCE)
    for event_id in due:
        jobs.add_task(conn, "archive_event", str(event_id), {"event_id": event_id}, event_id)
    return {"events": len(due)}


def begin_day(conn: Conn, tick: datetime) -> None:
    """Enqueue the summary of the day before the tick."""
    day = (tick - timedelta(days=1)).astimezone(UTC).date().isoformat()
    jobs.add_task(conn, "sum_up_day", day, {"day": day})


def enqueue(actor: str) -> Callable[[Conn, datetime], None]:
    """A job that enqueues the durable task of the same name."""
    return lambda conn, tick: jobs.add_task(conn, actor, actor, {})


PROBE_EVERY = timedelta(seconds=5)
NUMBER_EVERY = timedelta(seconds=2)
INDEX_EVERY = timedelta(seconds=5)
DAYS_CAUGHT_UP = 31
"""Days that are summed up later, at most, when no clock was running."""


JOBS: dict[str, Job] = {
    "expire_holds": Job(timedelta(seconds=1), expire_holds),
    "remind_holders": Job(timedelta(seconds=1), remind_holders),
    "expire_passes": Job(timedelta(seconds=1), expire_passes),
    "release_kept": Job(timedelta(seconds=30), release_kept),
    "end_reviews": Job(timedelta(seconds=5), end_reviews),
    "chain_acts": Job(timedelta(seconds=1), chain_acts),
    "number_feed": Job(timedelta(seconds=1), number_feed),
    "probe_gateways": Job(PROBE_EVERY, lambda conn, tick: circuits.probe_gateways(conn)),
    "number_receipts": Job(NUMBER_EVERY, lambda conn, tick: receipts.wake(conn)),
    "index_bookings": Job(INDEX_EVERY, index_bookings),
    "tend_lobbies": Job(
        lobbies.TEND_EVERY, lambda conn, tick: lobbies.tend_lobbies(conn), apart=True
    ),
    "watch_lobbies": Job(
        lobbies.WATCH_EVERY, lambda conn, tick: lobbies.watch_lobbies(conn), apart=True
    ),
    "reconcile_recent": Job(
        reconciliations.RECENT_EVERY, lambda conn, tick: reconciliations.start_recent(conn)
    ),
    "reconcile_days": Job(
        reconciliations.DAYS_EVERY, lambda conn, tick: reconciliations.start_days(conn)
    ),
    "read_balances": Job(payouts.READ_EVERY, lambda conn, tick: payouts.start_readings(conn)),
    "audit_changes": Job(timedelta(seconds=10), enqueue("audit_changes"), enqueues=True),
    "audit_findings": Job(timedelta(minutes=1), enqueue("audit_findings"), enqueues=True),
    "audit_whole": Job(
        timedelta(days=1), enqueue("audit_whole"), at=timedelta(hours=3), enqueues=True
    ),
    "ensure_partitions": Job(timedelta(days=1), lambda conn, tick: jobs.ensure_partitions(conn)),
    "drop_partitions": Job(timedelta(days=1), enqueue("drop_partitions"), enqueues=True),
    "purge": Job(timedelta(hours=1), enqueue("purge"), enqueues=True),
    "erase_accounts": Job(timedelta(minutes=10), erase_accounts, apart=True),
    "archive": Job(timedelta(hours=1), begin_archives, apart=True),
    "statistics": Job(
        timedelta(days=1),
        begin_day,
        at=timedelta(minutes=10),
        catch_up=DAYS_CAUGHT_UP,
        enqueues=True,
    ),
}


def declare_jobs() -> None:
    """Write this version's jobs and intervals to the table; delete jobs that no longer exist."""
    with transaction() as conn:
        for name, job in JOBS.items():
            jobs.declare(conn, name, job.every, job.catch_up, job.at)
        jobs.forget_others(conn, JOBS.keys())


def run_due(names: Collection[str] | None = None) -> None:
    """Run each due job, of these names or of all. An error of one job does not stop the others.

    Errors: psycopg's when the database is away.
    """
    with autocommit() as conn:
        due = jobs.list_due(conn)
    for name in JOBS if names is None else names:
        if name in due:
            try:
                run_job(name, JOBS[name])
            except Exception as error:
                record_failure(name, error)


def run_job(name: str, job: Job) -> None:
    """Run one tick of a job, unless another clock does."""
    with transaction(f"clock:{name}", LONGEST_STATEMENT) as conn:
        tick = jobs.take_tick(conn, name)
        if tick is not None:
            result = job.run(conn, tick)
            if not job.enqueues:
                jobs.finish(conn, name, result)


def record_failure(name: str, error: Exception) -> None:
    """Record an error. The tick was rolled back with its changes, and is tried again soon."""
    text = f"{type(error).__name__}: {error}"
    with transaction() as conn:
        failures = jobs.fail(conn, name, text)
    log.error("job failed", job=name, error=text, failures=failures, exc_info=error)


def run(stop: threading.Event) -> None:
    """Tick until told to stop; Postgres may be away for a time."""
    apart = [name for name, job in JOBS.items() if job.apart]
    together = [name for name in JOBS if name not in apart]
    declared = threading.Event()
    threads = [
        threading.Thread(target=copy_context().run, args=[tick_on, names, stop, declared])
        for names in [together, *([name] for name in apart)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def tick_on(names: Collection[str], stop: threading.Event, declared: threading.Event) -> None:
    """Run these jobs one after the other when they are due."""
    troubled, pause = False, TICK
    while not stop.wait(pause):
        try:
            if not declared.is_set():
                declare_jobs()
                declared.set()
            run_due(names)
            troubled, pause = False, pause_between_looks(names)
        except Exception as error:  # the next tick finds what this one would have found
            if not troubled:
                log.warning("tick failed", error=repr(error))
            troubled, pause = True, TICK


def pause_between_looks(names: Collection[str]) -> float:
    """Seconds. A job may be due a little later than its interval says."""
    shortest = min(JOBS[name].every for name in names).total_seconds()
    return max(TICK, min(LATENESS * shortest, RAREST_LOOK))


if __name__ == "__main__":
    run_until_stopped("clock", run)
