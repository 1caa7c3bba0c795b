"""The compact chart of a plan version, made once; and snapshots of which seats are free."""

import gzip
from typing import NamedTuple

from db.catalogue.chart_columns import FORMAT, ChartCategory, ChartSeat, encode_chart
from db.connections import Conn, many, maybe
from db.queries import load
from db.runtime.errors import NotFound

sql = load("catalogue/charts")

FRESH = 1.0
"""Seconds for which a snapshot of the free seats is good for all processes."""
LATEST = 100
"""Snapshots that a process reads at once: at least as many seconds of changes."""


class FreeSeats(NamedTuple):
    """A snapshot. number: the cursor; free: bit n, of byte n // 8, is seat n; 1: it is free."""

    number: int
    plan_version_id: int
    free: bytes


def check_version(conn: Conn, event_id: int, plan_version_id: int) -> None:
    """Errors: NotFound, if it is neither the event's plan version nor an earlier one."""
    values = {"event_id": event_id, "plan_version_id": plan_version_id}
    if maybe(conn.execute(sql.find_version, values)) is None:
        raise NotFound


def read_chart(conn: Conn, plan_version_id: int) -> bytes:
    """The chart of a plan version, compressed by gzip; it is made if that was not done before: of
    80,000 seats in about a second."""
    values = {"plan_version_id": plan_version_id, "format": FORMAT}
    row = maybe(conn.execute(sql.get_chart, values))
    if row is not None:
        return bytes(row["document"])
    return make_chart(conn, plan_version_id)


def make_chart(conn: Conn, plan_version_id: int) -> bytes:
    """Make and keep the chart of a plan version, and return it as read_chart."""
    version = {"plan_version_id": plan_version_id}
    categories = [ChartCategory(**row) for row in many(conn.execute(sql.list_categories, version))]
    seats = [ChartSeat(**row) for row in many(conn.execute(sql.list_seats, version))]
    document = gzip.compress(encode_chart(plan_version_id, categories, seats), 9, mtime=0)
    conn.execute(sql.keep_chart, version | {"format": FORMAT, "document": document})
    return document


def read_availability(conn: Conn, event_id: int, known: int) -> list[FreeSeats]:
    """The snapshots of an event above the number `known`, the newest first; none, if nothing has
    changed since. The newest was true a second ago or later. It may write a snapshot."""
    values = {"event_id": event_id, "known": known, "fresh": FRESH, "limit": LATEST}
    return [FreeSeats(**row) for row in many(conn.execute(sql.read_availability, values))]
