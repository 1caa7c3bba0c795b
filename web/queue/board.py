"""The public document of an event's queue. It is small and made at most once a second for any
number of readers. Every place in the queue is computed from it, without the database."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from time import monotonic

import psycopg
import structlog
from flask import Flask, current_app
from psycopg_pool import PoolTimeout

from db.catalogue import availability
from db.catalogue.availability import QueueReading
from db.connections import autocommit
from web.support.snapshots import Snapshots

SOONEST_POLL, LATEST_POLL = 1.0, 30.0  # seconds
PART_OF_TURN = 0.5  # of the time to pay: who looks that late still has the other half
JITTER = 0.2
GOLDEN = (5**0.5 - 1) / 2
SERVED_IN_A_SECOND = 500  # assumed until it is measured
STANDBY_LOOKS = 200  # polls a second by all standby entries together, since they have no order
RATE_OVER = timedelta(seconds=60)
STALE_AFTER = 60.0
COUNTED = 1000
ENDLESS = 10**9  # entries ahead of one in a lobby, where polling is too early
MOST_EVENTS = 200

log = structlog.get_logger()


@dataclass(frozen=True)
class Board:
    """A reading of the queue, and its history of the last minute as (when, now_serving)."""

    queue: QueueReading
    readings: tuple[tuple[datetime, int], ...]
    document: bytes = b""
    etag: str = ""
    made_at: float = field(default_factory=monotonic)

    @property
    def now_serving(self) -> int:
        return self.queue["now_serving"]

    @property
    def sale(self) -> str:
        return self.queue["sale"]

    @property
    def is_over(self) -> bool:
        """Whether no waiting entry can get anything any more."""
        return self.sale in ("over", "sold_out")

    @property
    def waiting(self) -> int:
        """The number of waiting entries: exact up to 1,000, above that an upper bound."""
        counted = self.queue["counted"]
        if counted <= COUNTED:
            return counted
        return max(counted, self.ahead(self.queue["last_number"] + 1))

    def ahead(self, number: int) -> int:
        """An upper bound of the entries before a number: the numbers between, less certain leavers.

        In a block that lies only partly between, as many leavers as possible are assumed to be in
        the other part.
        """
        last = max(self.queue["last_number"], number - 1)
        left = sum(
            _surely_left(first, min(end, last), leavers, self.now_serving, number)
            for first, end, leavers in self.queue["leavers"]
        )
        return max(number - 1 - self.now_serving - left, 0)

    def is_called(self, number: int) -> bool:
        """Whether that entry may have changed and should be read: its turn has come, or the sale
        has ended. Numbers of a lobby are negative until it is drawn."""
        if number <= 0 and self.sale == "soon":
            return False
        return self.is_over or number <= self.now_serving

    @property
    def per_second(self) -> float | None:
        """Numbers served per second, those of leavers included; None before the second reading."""
        (first, served), (last, serving) = self.readings[0], self.readings[-1]
        seconds = (last - first).total_seconds()
        return (serving - served) / seconds if seconds else None

    def estimated_wait(self, number: int) -> int | None:
        """The estimated wait in seconds; None when the queue stands or too little is known."""
        if number <= self.now_serving:
            return 0 if number > 0 else None
        return round((number - self.now_serving) / self.per_second) if self.per_second else None

    def poll_base(self, ahead: int) -> float:
        """Half of the expected wait, so that the jitter stays within the bounds."""
        return self._bounded(ahead / (self.per_second or SERVED_IN_A_SECOND) / 2)

    def poll_after(self, ahead: int, seed: int | None = None) -> float:
        """Seconds until the next poll, with jitter so that clients do not poll at the same time;
        always the same for the same seed."""
        part = random.random() if seed is None else _spread(seed)
        return _jittered(self.poll_base(ahead), part)

    def poll_after_standby(self) -> float:
        """Seconds until the next poll of a standby entry: longer if there are more of them."""
        return _jittered(self._bounded(self.queue["standby"] / STANDBY_LOOKS), random.random())

    def poll_after_number(self, number: int) -> float:
        """Seconds until the next poll for a number. At a sale's end all entries read their state,
        so it is spread over 30 s."""
        if self.is_over:
            return round(random.uniform(SOONEST_POLL, self.latest_poll), 1)
        return self.poll_after(self.ahead(number) if number > 0 else ENDLESS)

    @property
    def latest_poll(self) -> float:
        """The longest pause in seconds. A buyer who is told to look after it must not find that the
        time to pay is over."""
        return min(LATEST_POLL, self.queue["turn_seconds"] * PART_OF_TURN)

    def _bounded(self, seconds: float) -> float:
        return min(max(seconds, SOONEST_POLL / (1 - JITTER)), self.latest_poll / (1 + JITTER))


def _jittered(seconds: float, part: float) -> float:
    """part: 0 to 1, from the shortest to the longest pause."""
    return round(seconds * (1 - JITTER + 2 * JITTER * part), 1)


def _spread(seed: int) -> float:
    """A number from 0 to 1 for a seed; those of successive seeds lie far apart."""
    return seed * GOLDEN % 1


def _surely_left(first: int, last: int, leavers: int, served: int, number: int) -> int:
    """The least number of a block's leavers (numbers first..last) between `served` and `number`."""
    between = min(last, number - 1) - max(first, served + 1) + 1
    if between <= 0:
        return 0
    others = last - first + 1 - between - (first <= number <= last)  # `number` itself has not left
    return max(leavers - others, 0)


def next_board(before: Board | None, queue: QueueReading) -> Board:
    """Make the board of a new reading, with its document."""
    readings = (*(before.readings if before else ()), (queue["as_of"], queue["now_serving"]))
    recent = tuple(r for r in readings if queue["as_of"] - r[0] <= RATE_OVER)
    board = Board(queue, recent)
    facts = _state(board)
    document = json.dumps(facts | {"as_of": queue["as_of"].isoformat()}).encode()
    tag = blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()
    return Board(queue, recent, document, tag)


def _state(board: Board) -> dict[str, int | float | str | Sequence[Sequence[int]] | None]:
    newest = board.queue["last_number"] + 1
    waiting, rate = board.waiting, board.per_second
    return {
        "now_serving": board.now_serving,
        "last_number": board.queue["last_number"],
        "waiting": waiting,
        "leavers": board.queue["leavers"],
        "sale": board.sale,
        "accessible_free": board.queue.get("accessible_free", False),
        "rate_per_minute": None if rate is None else round(rate * 60),
        "estimated_wait_s": board.estimated_wait(newest) if waiting else 0,
        "poll_after_s": round(board.poll_base(waiting)),
    }


def keep_boards(app: Flask) -> None:
    app.extensions["queue_boards"] = Snapshots(_look, seconds=1, most=MOST_EVENTS)


def read_board(event_id: int) -> Board:
    """The board, at most a second old, or a minute while the database is away. Errors: NotFound."""
    boards: Snapshots[Board] = current_app.extensions["queue_boards"]
    return boards.get(event_id)


def _look(event_id: int, before: Board | None) -> Board:
    try:
        with autocommit() as conn:
            return next_board(before, availability.get_queue(conn, event_id))
    except (psycopg.OperationalError, PoolTimeout) as error:
        if before is None or monotonic() - before.made_at > STALE_AFTER:
            raise
        log.warning("old queue board", error=type(error).__name__)
        return before
