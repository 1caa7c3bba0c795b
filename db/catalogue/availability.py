"""The public view of an event: chart, availability, queue. Postgres writes the documents as text,
because they are long and the same for all."""

from datetime import datetime
from typing import TypedDict, cast

from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import NotFound

sql = load("catalogue/availability")


def draw_chart(conn: Conn, plan_version_id: int) -> bytes:
    """The chart as JSON: {seats: [{guid, category, zone, row, number, x, y, accessible, …}]}."""
    row = one(conn.execute(sql.draw_chart, {"plan_version_id": plan_version_id}))
    return str(row["document"]).encode()


def count_seats(conn: Conn, event_id: int) -> bytes:
    """The availability as JSON: {as_of, plan_version_id, categories: [{category, free, kept,
    accessible, held, sold, blocked}], taken: [guid]}. free: for all; kept: free for entries that
    ask for accessible seats.

    Errors: NotFound.
    """
    row = maybe(conn.execute(sql.count_seats, {"event_id": event_id}))
    if row is None:
        raise NotFound
    return str(row["document"]).encode()


class QueueReading(TypedDict):
    """The state of a queue. counted: waiting entries, up to 1,001; standby: standby entries, up to
    5,000; last_number: the last number given out; leavers: (from, to, leavers with these numbers),
    as far as the board needs them; turn_seconds: the time to pay, or to take a pass, when the
    turn has come; sale: open, paused, all_held (no seat is free, but holds may expire), sold_out,
    over or soon; accessible_free: a place for a wheelchair is free."""

    event_id: int
    now_serving: int
    last_number: int
    counted: int
    standby: int
    turn_seconds: int
    leavers: list[list[int]]
    sale: str
    accessible_free: bool
    as_of: datetime


def get_queue(conn: Conn, event_id: int) -> QueueReading:
    """Read the state of a queue; the cost does not depend on its length. Errors: NotFound."""
    row = maybe(conn.execute(sql.list_queues, {"event_ids": [event_id]}))
    if row is None:
        raise NotFound
    return cast(QueueReading, row)
