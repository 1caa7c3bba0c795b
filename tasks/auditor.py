"""The auditor: checks the database against sql/invariants.sql, all the time.

Changes are checked within seconds: the state log names bookings, payments and refunds that changed,
and everything that their buyers have is checked. Once a day everything is checked, one invariant
after the other, each in a transaction of its own. Open findings are checked every minute.

A finding counts when a second look, a moment later, returns it again. It becomes a dead letter, and
is repaired where that is safe (db/maintenance/findings.py).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from psycopg.errors import QueryCanceled

from db.connections import Conn, transaction
from db.durable import jobs
from db.maintenance import findings, invariants
from db.maintenance.findings import Span
from db.maintenance.invariants import Invariant
from tasks.durable.actors import durable
from tasks.durable.leases import Lease, TryLater

log = structlog.get_logger()

Rows = list[dict[str, Any]]

MOMENT = 2.0
"""Seconds until the second look."""
BUYERS_AT_ONCE = 1000
"""Buyers whose bookings one query checks: of a hundred, most of its time would be planning."""
LETTERS_AT_ONCE = 100
"""Findings of an invariant at a time: who has a hundred letters need not read a million."""
LONGEST_QUERY = 60  # seconds, for one query of a whole audit
TIME_SLICE = 60  # seconds, after which another task may have the thread


@durable(queue="maintenance", lease=300, longest_delay=60)
def audit_changes(lease: Lease) -> None:
    """Check what changed since the last audit of changes."""
    while not lease.finished:
        with lease.transaction() as conn:
            span = findings.next_span(conn)
        touched = check_span(lease, span)
        with lease.transaction() as conn:
            findings.move_on(conn, span)
            if span.last:
                jobs.finish(conn, "audit_changes", {"buyers": touched, "until": str(span.until)})
                lease.finish(conn)
            else:
                lease.renew(conn)


def check_span(lease: Lease, span: Span) -> int:
    """Check the objects that a part of the state log names; return how many."""
    if span.empty:
        return 0
    with transaction(seconds=LONGEST_QUERY) as conn:
        touched = findings.list_touched(conn, span)
    for event_id, buyers in touched.items():
        for start in range(0, len(buyers), BUYERS_AT_ONCE):
            check_buyers(event_id, buyers[start : start + BUYERS_AT_ONCE])
            with lease.transaction() as conn:
                lease.renew(conn)
    for invariant in invariants.invariants():
        if invariant.about == "queues":
            check_whole(invariant)
    return sum(map(len, touched.values()))


def check_buyers(event_id: int, buyers: Sequence[int]) -> None:
    """Check everything that some buyers of an event have."""
    suspects = {
        invariant: rows
        for invariant in invariants.invariants()
        if invariant.about == "buyers" and (rows := look_among(invariant, event_id, buyers))
    }
    if suspects:
        time.sleep(MOMENT)
    for invariant, rows in suspects.items():
        report(invariant, confirmed(rows, look_among(invariant, event_id, buyers)))


def look_among(invariant: Invariant, event_id: int, buyers: Sequence[int]) -> Rows:
    with transaction(seconds=LONGEST_QUERY) as conn:
        return invariants.find_rows_among(conn, invariant, event_id, buyers, LETTERS_AT_ONCE)


@durable(queue="maintenance", lease=300, longest_delay=300)
def audit_whole(lease: Lease) -> None:
    """Check everything, beginning where the worker before stopped."""
    with lease.transaction() as conn:
        todo = findings.begin_whole(conn)
    check_all(lease, todo, findings.mark_done)
    with lease.transaction() as conn:
        if slow := findings.list_slow(conn):
            jobs.fail(conn, "audit_whole", f"took longer than {LONGEST_QUERY} s: {slow}")
        else:
            jobs.finish(conn, "audit_whole", findings.count_findings(conn))
        lease.finish(conn)


@durable(queue="maintenance", lease=300, longest_delay=60)
def audit_findings(lease: Lease) -> None:
    """Check the open findings again."""
    with lease.transaction() as conn:
        todo = findings.named(findings.count_findings(conn))
    check_all(lease, todo, lambda conn, invariant, slow: None)
    with lease.transaction() as conn:
        jobs.finish(conn, "audit_findings", findings.count_findings(conn))
        lease.finish(conn)


def check_all(
    lease: Lease, todo: Sequence[Invariant], done: Callable[[Conn, Invariant, bool], None]
) -> None:
    """Check invariants one after the other. `done` gets each, and whether its check was too slow.

    Errors: TryLater when the time slice is over.
    """
    until = time.monotonic() + TIME_SLICE
    for invariant in todo:
        if time.monotonic() > until:
            raise TryLater(0, "the time slice is over")
        slow = False
        try:
            check_whole(invariant)
        except QueryCanceled:
            log.error("invariant check too slow", invariant=invariant.name)
            slow = True
        with lease.transaction() as conn:
            done(conn, invariant, slow)
            lease.renew(conn)


def check_whole(invariant: Invariant) -> None:
    """Check an invariant on all rows; close findings that are no longer returned.

    Errors: psycopg.errors.QueryCanceled.
    """
    first = look(invariant)
    if first:
        time.sleep(MOMENT)
    second = look(invariant) if first else []
    complete = len(second) < LETTERS_AT_ONCE
    report(invariant, confirmed(first, second), and_close=second if complete else None)


def look(invariant: Invariant) -> Rows:
    with transaction(seconds=LONGEST_QUERY) as conn:
        return invariants.find_rows(conn, invariant, LETTERS_AT_ONCE)


def confirmed(first: Rows, second: Rows) -> Rows:
    """The rows of which both looks returned the subject."""
    seen = {findings.subject_of(row) for row in first}
    return [row for row in second if findings.subject_of(row) in seen]


def report(invariant: Invariant, rows: Rows, and_close: Rows | None = None) -> None:
    """Record findings; with `and_close`, close earlier findings that are not among those rows."""
    with transaction("task:audit") as conn:
        new = findings.report(conn, invariant, rows)
        if and_close is not None:
            findings.close_others(conn, invariant, and_close)
    if new:
        log.error(
            "invariant violated",
            invariant=invariant.name,
            meaning=invariant.meaning,
            findings=len(new),
            sample=new[:3],
        )
