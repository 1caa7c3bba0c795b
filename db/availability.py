"""What everybody may see of an event: chart, free seats, queue. Documents are made by Postgres, as
text, because they are long and the same for all."""

from typing import Any

from db.connections import Conn
from db.errors import NotFound
from db.queries import load

sql = load("availability")


def get_plan_version(conn: Conn, event_id: int) -> int:
    """The plan version that an opened event is pinned to. Errors: NotFound."""
    row = conn.execute(sql.get_plan_version, {"event_id": event_id}).fetchone()
    if row is None:
        raise NotFound
    return int(row["plan_version_id"])


def draw_chart(conn: Conn, plan_version_id: int) -> bytes:
    """JSON: {seats: [{guid, category, zone, row, number, x, y, accessible, …}]}."""
    row = conn.execute(sql.draw_chart, {"plan_version_id": plan_version_id}).fetchone()
    assert row is not None
    return str(row["document"]).encode()


def count_seats(conn: Conn, event_id: int) -> bytes:
    """JSON: {as_of, categories: [{category, free, held, sold}], taken: [guid]}.

    Errors: NotFound.
    """
    row = conn.execute(sql.count_seats, {"event_id": event_id}).fetchone()
    if row is None:
        raise NotFound
    return str(row["document"]).encode()


def get_queue(conn: Conn, event_id: int) -> dict[str, Any]:
    """{now_serving, waiting, as_of}; costs the same however many wait. Errors: NotFound."""
    row = conn.execute(sql.get_queue, {"event_id": event_id}).fetchone()
    if row is None:
        raise NotFound
    waiting = row["counted"] if row["counted"] <= 10_000 else max(row["counted"], row["at_most"])
    return {"now_serving": row["now_serving"], "waiting": waiting, "as_of": row["as_of"]}
