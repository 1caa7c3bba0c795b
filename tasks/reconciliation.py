"""Reconciliation: compare the gateway's lists with the tables, page by page until the run is done.

The clock starts runs over the last hours and the last days, an operator over any window. The task
does not change bookings itself. For each difference it enqueues the task that reads the object from
the gateway, or adds a dead letter (sql/functions/payments/note_differences.sql).
"""

import time
from collections.abc import Callable

import structlog

from db.connections import Conn
from db.payments import reconciliations
from db.payments.reconciliations import Page, Run, Thing
from db.runtime.faults import reach
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, MovedOn, TryLater, stop_if_told
from tasks.gateways.registry import Books, books_of

log = structlog.get_logger()

TIME_SLICE = 60
"""The time slice in seconds; Dramatiq interrupts an actor after 300."""


@durable(queue="maintenance", lease=120, longest_delay=300, keep=True)
def reconcile(lease: Lease) -> None:
    """Continue a run, page by page."""
    end = time.monotonic() + TIME_SLICE
    while time.monotonic() < end:
        stop_if_told()
        with lease.transaction() as conn:
            run = reconciliations.get_run(conn, lease.task.args["reconciliation_id"])
            if run.state != "running":
                lease.finish(conn)
                report(conn, run)
                return
        take_page(lease, run)
    raise TryLater(0, "the time slice is over")


def take_page(lease: Lease, run: Run) -> None:
    """Read a page from the gateway, then compare it in one transaction."""
    books = books_of(run)
    if run.phase in LISTED:
        page: Page = LISTED[run.phase](books)(run)
        missing: list[str] = []
    else:
        page, missing = ask_for_ours(lease, run, FOUND[run.phase](books))
    reach("after reconciled page")
    with lease.transaction() as conn:
        if not reconciliations.take_page(conn, run, page, missing):
            raise MovedOn
        lease.renew(conn)
        reach("before reconciled page commits")


def ask_for_ours(
    lease: Lease, run: Run, find: Callable[[Run, str], Thing | None]
) -> tuple[Page, list[str]]:
    """Ask the gateway for objects of ours that were in no list; also return those it does not know.

    When calls of higher priority use up the rate limit, the objects so far are the page.
    """
    with lease.transaction() as conn:
        unseen = reconciliations.list_unseen(conn, run)
    found: dict[str, Thing | None] = {}
    cursor = unseen.next_cursor
    try:
        for id, gateway_ref in unseen.ids:
            found[id] = find(run, gateway_ref) if gateway_ref else None
    except TryLater:
        if not found:
            raise
        cursor = next(reversed(found))
    missing = [id for id, thing in found.items() if thing is None]
    return Page([each for each in found.values() if each], cursor), missing


LISTED: dict[str, Callable[[Books], Callable[[Run], Page]]] = {
    "payments": lambda books: books.list_payments,
    "refunds": lambda books: books.list_refunds,
    "disputes": lambda books: books.list_disputes,
}
FOUND: dict[str, Callable[[Books], Callable[[Run, str], Thing | None]]] = {
    "our payments": lambda books: books.find_payment,
    "our refunds": lambda books: books.find_refund,
    "our disputes": lambda books: books.find_dispute,
}
"""The function for each phase of a run."""


def report(conn: Conn, run: Run) -> None:
    """Log one line with the totals of the run."""
    done = reconciliations.find_run(conn, run.id)
    counts = ("state", "checked", "foreign_objects", "differences", "repairs", "dead_letters")
    log.log(
        30 if done["differences"] else 20,
        "reconciled",
        reconciliation_id=run.id,
        window=[run.window_from.isoformat(), run.window_to.isoformat()],
        totals=done["totals"],
        **{name: done[name] for name in counts},
    )
