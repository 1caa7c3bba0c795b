"""Lanes: one per event, served fairly, each by one drain at a time."""

from dataclasses import dataclass

from db.connections import Conn, maybe, one
from db.queries import load

sql = load("queue/lanes")


@dataclass(frozen=True)
class Drained:
    """The result of a batch: entries decided, bookings made, their seats, passes offered.

    waiting_for_seats: no seat is free, and the lane waits for held ones.
    """

    taken: int
    booked: int
    seats_held: int
    admitted: int
    waiting_for_seats: bool


def any_work(conn: Conn, backlog: int | None = None) -> bool:
    """Tell whether a lane that no drain serves has something to decide. It locks that lane for as
    long as the statement takes, so conn commits it by itself (`autocommit`).

    backlog: see next_lane.
    """
    row = one(conn.execute(sql.any_work, {"backlog": backlog}))
    return bool(row["work"])


def next_lane(conn: Conn, backlog: int | None = None, ahead: int = 500) -> int | None:
    """Lock the lane to serve now, until the transaction ends, and return its event.

    backlog: if more tasks of the saga wait than this, lanes that need a gateway pause.
    ahead: seats by which a lane may be ahead of one that another drain has.
    """
    row = one(conn.execute(sql.next_lane, {"backlog": backlog, "ahead": ahead}))
    event_id: int | None = row["event_id"]
    return event_id


def lock_lane(conn: Conn, event_id: int) -> bool:
    return maybe(conn.execute(sql.lock_lane, {"event_id": event_id})) is not None


def drain(conn: Conn, event_id: int, batch: int, per_second: float | None = None) -> Drained:
    """Decide the next `batch` entries, in number order, of a lane that conn has locked.

    per_second: payments a second at the gateway; there are no more holds than can be paid in time.
    """
    values = {"event_id": event_id, "batch": batch, "per_second": per_second}
    row = one(conn.execute(sql.drain_lane, values))
    return Drained(**row)


def dead_letter_first(conn: Conn, event_id: int, error: str) -> None:
    """Make a dead letter of the first entry, and refuse it."""
    conn.execute(sql.dead_letter_first, {"event_id": event_id, "error": error})


def expire_holds(conn: Conn, limit: int) -> tuple[int, int]:
    """Expire holds: (expired, expiring), how many ended, and how many the saga has to end."""
    row = one(conn.execute(sql.expire_holds, {"limit": limit}))
    return row["expired"], row["expiring"]


def release_kept(conn: Conn) -> int:
    """Release the kept seats of events that begin soon; how many events."""
    return int(one(conn.execute(sql.release_kept))["events"])


def expire_passes(conn: Conn, limit: int) -> tuple[int, int]:
    """Expire passes: (missed, lapsed), how many were not taken, and how many not used."""
    row = one(conn.execute(sql.expire_passes, {"limit": limit}))
    return row["missed"], row["lapsed"]
