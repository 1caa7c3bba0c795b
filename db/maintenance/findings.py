"""What the auditor keeps: how far it has come, and what it has found.

A finding is a dead letter without a task, one for each invariant and subject; it is closed when
what was wrong is so no more.
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
"""For transactions of other database users to end; those of our own can be seen."""

REPAIRS = {
    "booking_under_way_forgotten": sql.booking_under_way_forgotten,
    "payment_forgotten": sql.payment_forgotten,
    "refund_forgotten": sql.refund_forgotten,
    "email_forgotten": sql.email_forgotten,
    "stalled_for_ever": sql.stalled_for_ever,
    "standby_without_hope": sql.standby_without_hope,
    "buyer_counted_wrongly": sql.buyer_counted_wrongly,
}
"""What may be put right without a person: tasks, wakes and a counter; no seats, and no money."""


@dataclass(frozen=True)
class Span:
    """A part of the log of state changes; bound: up to where the whole of it could be read now."""

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
    """The part of the log that the auditor has to read next; until is before since while some
    transaction takes long."""
    return Span(**one(conn.execute(sql.next_span, {"slack": SLACK})))


def list_touched(conn: Conn, span: Span) -> dict[int, list[int]]:
    """The buyers whose bookings, payments or refunds changed in it, by event."""
    rows = conn.execute(sql.list_touched, {"since": span.since, "until": span.until})
    return {row["event_id"]: row["buyers"] for row in rows}


def move_on(conn: Conn, span: Span) -> None:
    """That part was read."""
    conn.execute(sql.move_on, {"since": span.since, "until": span.until})


def begin_whole(conn: Conn) -> list[Invariant]:
    """What is still to be checked of the whole audit of today."""
    names = [invariant.name for invariant in invariants()]
    done = one(conn.execute(sql.begin_whole, {"names": names}))["done"]
    return [invariant for invariant in invariants() if invariant.name not in done]


def mark_done(conn: Conn, invariant: Invariant, slow: bool) -> None:
    """The whole audit need not check it again today; slow: it could not be, in time."""
    conn.execute(sql.mark_done, {"invariant": invariant.name, "slow": slow})


def list_slow(conn: Conn) -> str:
    """The invariants that the last whole audit could not check in time."""
    return ", ".join(one(conn.execute(sql.list_slow))["slow"])


def subject_of(row: dict[str, Any]) -> str:
    """What a row is about, so that it is known when it is found again."""
    return " ".join(
        f"{name}={value}"
        for name, value in row.items()
        if name.endswith("_id") or name in ("id", "seat")
    )


def report(conn: Conn, invariant: Invariant, rows: Sequence[dict[str, Any]]) -> list[str]:
    """A letter for each that has none yet, with its repair if there is one. The subjects that are
    new."""
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
    """Once: a repair that does not help is a matter for a person."""
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
    """Close the findings of an invariant that are not among these; how many."""
    keys = [f"{invariant.name}: {subject_of(row)}" for row in rows]
    values = {"invariant": invariant.name, "keys": keys}
    return len(many(conn.execute(sql.close_findings, values)))


def count_findings(conn: Conn) -> dict[str, int]:
    """How much is wrong and known, by invariant; those without anything are left out."""
    return {row["invariant"]: row["findings"] for row in conn.execute(sql.count_findings)}


def named(names: Collection[str]) -> list[Invariant]:
    """The invariants of these names, as far as they still exist."""
    return [invariant for invariant in invariants() if invariant.name in names]
