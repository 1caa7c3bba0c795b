"""Import large plans: reading one takes seconds of a processor and hundreds of megabytes.

The version is stored in one transaction, and an import whose worker died begins anew. How far it is
is written beside that, about once a second. A plan that cannot be used is an answer and no failure
of the task; one over which its workers die is given up, with a dead letter for a person.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from psycopg import DataError

from db.catalogue import plan_imports, plans
from db.catalogue.plan_imports import Import
from db.catalogue.plan_reports import refuse_warnings
from db.catalogue.seating import Plan, PlanError, Problem, read_plan
from db.connections import autocommit
from db.runtime.errors import Conflict, Fault
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import MAX_CLAIMS, Lease, TryLater, stop_if_told

READING = Lock()
"""Of this process: one plan at a time has its memory, and other maintenance the other thread."""
WAIT = 1
"""Seconds until it is tried again to be the one."""
READ = 0.5
"""The share of the work that reading and numbering is; the rest is storing."""
PAUSE = 1.0
"""Seconds between two notes of the progress."""
UNSTORABLE: Problem = {"path": "plan", "message": "holds a value that cannot be stored"}


@durable(queue="maintenance", lease=60, failures=6, longest_delay=60)
def import_plan(lease: Lease) -> None:
    """Read the plan of an import and store it."""
    with alone():
        wanted = begin(lease)
        if wanted is None:
            return
        try:
            read_and_store(lease, wanted)
        except (PlanError, Conflict) as error:
            end(lease, wanted, error)
        except DataError:  # nothing is stored
            end(lease, wanted, PlanError([UNSTORABLE]))


@contextmanager
def alone() -> Iterator[None]:
    """Errors: TryLater while this process reads another plan."""
    if not READING.acquire(blocking=False):
        raise TryLater(WAIT, "another plan is being read", put_off=True)
    try:
        yield
    finally:
        READING.release()


def begin(lease: Lease) -> Import | None:
    """Take what is to be read; None: the import has ended, or is given up now."""
    import_id: int = lease.task.args["import_id"]
    with lease.transaction() as conn:
        if is_last_try(lease):
            plan_imports.fail_import(conn, import_id, Fault())
            lease.add_dead_letter(conn, "the plan could not be imported, and its file is gone")
            wanted = None
        else:
            wanted = plan_imports.begin_import(conn, import_id)
        if wanted is None:
            lease.finish(conn)
        return wanted


def end(lease: Lease, wanted: Import, error: PlanError | Conflict) -> None:
    with lease.transaction() as conn:
        plan_imports.fail_import(conn, wanted.id, error)
        lease.finish(conn)


def is_last_try(lease: Lease) -> bool:
    """Whether one more failure or death would end the task, and the import would wait for ever."""
    task = lease.task
    return task.claims >= MAX_CLAIMS or task.failures + 1 >= lease.policy.failures


def read_and_store(lease: Lease, wanted: Import) -> None:
    """Errors: PlanError, Conflict unrelated_plan: the plan cannot be used."""
    progress = Progress(lease, wanted.id, wanted.source.count(b'"seat_guid"'))
    plan = read_plan(wanted.source, guess=wanted.guess, tell=progress.read)
    progress.read(len(plan.seats))
    if wanted.strict:
        refuse_warnings(plan)
    reach("after plan is read")
    progress.expected = len(plan.seats)
    store(lease, wanted, plan, progress)


def store(lease: Lease, wanted: Import, plan: Plan, progress: "Progress") -> None:
    """Store plan and version and end the import, all in one transaction."""
    with lease.transaction() as conn:
        plan_id = wanted.plan_id or plans.add_plan(
            conn, None, wanted.venue_id, wanted.name or plan.name
        )
        version = plans.add_version(
            conn,
            None,
            plan_id,
            plan,
            wanted.source,
            unrelated=wanted.unrelated,
            tell=progress.stored,
        )
        plan_imports.finish_import(conn, wanted.id, plan_id, version["version_id"])
        lease.finish(conn)
        reach("before plan version commits")


@dataclass
class Progress:
    """Notes how far an import is, and ends its task when the process is to stop. expected: how many
    seats the plan has, or may have."""

    lease: Lease
    import_id: int
    expected: int
    due: float = 0.0

    def read(self, seats: int) -> None:
        """Errors: Stopping, LeaseLost."""
        if self._is_due():
            with self.lease.transaction() as conn:
                plan_imports.write_progress(conn, self.import_id, READ * self._share(seats))
                self.lease.extend(conn)

    def stored(self, seats: int) -> None:
        """Note it beside the transaction that stores them, which has the task's row locked; so no
        other worker has the lease. Errors: Stopping."""
        if self._is_due():
            with autocommit() as conn:
                progress = READ + (1 - READ) * self._share(seats)
                plan_imports.write_progress(conn, self.import_id, progress)

    def _share(self, seats: int) -> float:
        return min(1.0, seats / max(1, self.expected))

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self.due:
            return False
        stop_if_told()
        self.due = now + PAUSE
        return True
