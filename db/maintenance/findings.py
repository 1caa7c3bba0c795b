"""The auditor's progress and its findings.

A finding is a dead letter without a task, one for each invariant and subject. It is closed when
the invariant no longer returns it.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import structlog
from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.maintenance.invariants import Invariant, invariants
from db.queries import load

log = structlog.get_logger()

sql = load("maintenance/findings")

SLACK = timedelta(seconds=10)
"""Seconds for transactions of other database users to end, which cannot be seen."""

REPAIRS = {
    "booking_under_way_forgotten": sql.booking_under_way_forgotten,
    "payment_forgotten": sql.payment_forgotten,
    "refund_forgotten": sql.refund_forgotten,
    "email_forgotten": sql.email_forgotten,
    "stalled_for_ever": sql.stalled_for_ever,
    "standby_without_hope": sql.standby_without_hope,
    "buyer_counted_wrongly": sql.buyer_counted_wrongly,
}
"""Repairs that need no person: they add tasks and wakes, and set a counter. They never change
seats or money."""


@dataclass(frozen=True)
class Span:
    """A part of the state log. bound: the time up to which all of it can be read now."""

    since: datetime
    until: datetime
    bound: datetime

    @property
    def empty(self) -> bool:
        return self.until <= self.since

    @property
    def last(self) -> bool:
        return self.until >= self.bound


def next_span(conn: Conn) -> Span:
    """The part of the state log to check next. While a transaction takes long, `until` is before
    `since`."""
    return Span(**one(conn.execute(sql.next_span, {"slack": SLACK})))


def list_touched(conn: Conn, span: Span) -> dict[int, list[int]]:
    """List the buyers whose bookings, payments or refunds changed in a span, by event."""
    rows = conn.execute(sql.list_touched, {"since": span.since, "until": span.until})
    return {row["event_id"]: row["buyers"] for row in rows}


def move_on(conn: Conn, span: Span) -> None:
    """Record that a span is checked."""
    conn.execute(sql.move_on, {"since": span.since, "until": span.until})


def begin_whole(conn: Conn) -> list[Invariant]:
    """Begin the whole audit, or go on with it: the invariants that are still to be checked."""
    names = [invariant.name for invariant in invariants()]
    done = one(conn.execute(sql.begin_whole, {"names": names}))["done"]
    return [invariant for invariant in invariants() if invariant.name not in done]


def mark_done(conn: Conn, invariant: Invariant, slow: bool) -> None:
    """Record that the whole audit has checked an invariant; slow: it could not, in time."""
    conn.execute(sql.mark_done, {"invariant": invariant.name, "slow": slow})


def list_slow(conn: Conn) -> str:
    """Names of the invariants that the last whole audit could not check in time."""
    return ", ".join(one(conn.execute(sql.list_slow))["slow"])


def subject_of(row: dict[str, Any]) -> str:
    """The subject of a row, by which it is recognised when it is found again."""
    return " ".join(
        f"{name}={value}"
        for name, value in row.items()
        if name.endswith("_id") or name in ("id", "seat")
    )


def report(conn: Conn, invariant: Invariant, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Add a dead letter for each row without one, start its repair if there is one, and return the
    new subjects."""
    return [subject_of(row) for row in rows if _open_finding(conn, invariant, row)]


def _open_finding(conn: Conn, invariant: Invariant, row: dict[str, Any]) -> bool:
    values = {
        "key": f"{invariant.name}: {subject_of(row)}",
        "args": Jsonb(
            {"invariant": invariant.name, "row": row}, dumps=partial(json.dumps, default=str)
        ),
        "event_id": row.get("event_id"),
        "booking_id": row.get("booking_id"),
        "buyer_id": row.get("buyer_id"),
        "reason": invariant.meaning,
    }
    if maybe(conn.execute(sql.open_finding, values)) is None:
        return False
    _repair(conn, invariant, row)
    return True


def _repair(conn: Conn, invariant: Invariant, row: dict[str, Any]) -> None:
    """Repair a finding, once: if that does not help, a person has to."""
    repair = REPAIRS.get(invariant.name)
    if repair is None:
        return
    try:
        with conn.transaction():
            conn.execute(repair, row)
        log.warning("repaired", invariant=invariant.name, **{"of": subject_of(row)})
    except psycopg.Error as error:
        log.error("could not repair", invariant=invariant.name, error=str(error))


def close_others(conn: Conn, invariant: Invariant, rows: Sequence[dict[str, Any]]) -> int:
    """Close findings of an invariant that are not among these rows, and return how many."""
    keys = [f"{invariant.name}: {subject_of(row)}" for row in rows]
    values = {"invariant": invariant.name, "keys": keys}
    return len(many(conn.execute(sql.close_findings, values)))


def count_findings(conn: Conn) -> dict[str, int]:
    """Count open findings by invariant; invariants without any are left out."""
    return {row["invariant"]: row["findings"] for row in conn.execute(sql.count_findings)}


def named(names: Collection[str]) -> list[Invariant]:
    """The invariants with these names, as far as they still exist."""
    return [invariant for invariant in invariants() if invariant.name in names]
