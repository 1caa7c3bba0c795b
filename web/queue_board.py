"""The public state of a queue, which everybody may read and any proxy may cache."""

import json
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, current_app

from db import availability
from db.connections import autocommit
from web.snapshots import Snapshots

SOONEST_POLL, LATEST_POLL = 1, 30
SERVED_IN_A_SECOND = 500  # assumed until it is known
RATE_OVER = 60  # seconds
MOST_EVENTS = 200


@dataclass(frozen=True)
class Board:
    """The document, and what it was made of; readings: (when, now_serving) of the last minute."""

    document: bytes
    waiting: int
    per_second: float | None
    readings: tuple[tuple[datetime, int], ...]

    def poll_after(self, ahead: int) -> int:
        """Seconds until it is worth asking again: half of the time that it may take."""
        wait = ahead / (self.per_second or SERVED_IN_A_SECOND)
        return round(min(max(wait / 2, SOONEST_POLL), LATEST_POLL))


def keep_boards(app: Flask) -> None:
    app.extensions["queue_boards"] = Snapshots(_look, seconds=1, most=MOST_EVENTS)


def read_board(event_id: int) -> Board:
    """At most a second old. Errors: NotFound."""
    boards: Snapshots[Board] = current_app.extensions["queue_boards"]
    return boards.get(event_id)


def _look(event_id: int, before: Board | None) -> Board:
    with autocommit() as conn:
        queue = availability.get_queue(conn, event_id)
    reading = (queue["as_of"], queue["now_serving"])
    readings = (*(before.readings if before else ()), reading)
    recent = tuple(r for r in readings if (reading[0] - r[0]).total_seconds() <= RATE_OVER)
    rate = _served_a_second(recent)
    board = Board(b"", queue["waiting"], rate, recent)
    document = {
        "now_serving": queue["now_serving"],
        "waiting": queue["waiting"],
        "rate_per_minute": None if rate is None else round(rate * 60),
        "estimated_wait_s": round(queue["waiting"] / rate) if rate else None,
        "poll_after_s": board.poll_after(queue["waiting"]),
        "as_of": queue["as_of"].isoformat(),
    }
    return Board(json.dumps(document).encode(), queue["waiting"], rate, recent)


def _served_a_second(readings: tuple[tuple[datetime, int], ...]) -> float | None:
    """None before there are two readings."""
    seconds = (readings[-1][0] - readings[0][0]).total_seconds()
    return (readings[-1][1] - readings[0][1]) / seconds if seconds else None
