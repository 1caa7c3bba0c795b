"""What everybody may see of an event: chart, free seats, queue. Documents are made by Postgres, as
text, because they are long and the same for all."""

from datetime import datetime
from typing import TypedDict, cast

from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import NotFound

sql = load("catalogue/availability")


def get_plan_version(conn: Conn, event_id: int) -> int:
    """The plan version that an opened event is pinned to. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_plan_version, {"event_id": event_id}))
    if row is None:
        raise NotFound
    return int(row["plan_version_id"])


def draw_chart(conn: Conn, plan_version_id: int) -> bytes:
    """JSON: {seats: [{guid, category, zone, row, number, x, y, accessible, …}]}."""
    row = one(conn.execute(sql.draw_chart, {"plan_version_id": plan_version_id}))
    return str(row["document"]).encode()


def count_seats(conn: Conn, event_id: int) -> bytes:
    """JSON: {as_of, categories: [{category, free, held, sold}], taken: [guid]}.

    Errors: NotFound.
    """
    row = maybe(conn.execute(sql.count_seats, {"event_id": event_id}))
    if row is None:
        raise NotFound
    return str(row["document"]).encode()


class QueueReading(TypedDict):
    """Where a queue is. counted: people waiting, up to 1,001; standby: those on it, up to 5,000;
    last_number: the last one given out; leavers: (from, to, how many of these numbers left), as far
    as they matter; sale: open, paused, all_held (nothing is free, but holds may yet expire),
    sold_out, over or soon."""

    event_id: int
    now_serving: int
    last_number: int
    counted: int
    standby: int
    leavers: list[list[int]]
    sale: str
    as_of: datetime


def get_queue(conn: Conn, event_id: int) -> QueueReading:
    """It costs the same however many wait. Errors: NotFound."""
    row = maybe(conn.execute(sql.list_queues, {"event_ids": [event_id]}))
    if row is None:
        raise NotFound
    return cast(QueueReading, row)
