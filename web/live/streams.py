"""Server-sent events: the streams, and one poll a second for all of them.

A stream gets the changes of its subject until that is decided; then it ends. The id of an event is
made from its content, not from a time. So a client that reconnects to any process with the last id
it has seen gets what is different now, and never misses the turn.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import structlog
from aiohttp import web

from db.queue import live_readings
from db.queue.live_readings import AsyncConn, BookingReading, EntryReading
from web.queue.board import Board, next_board
from web.support.ended_tokens import OLDEST, EndedTokens
from web.support.sessions import Session

POLL_EVERY = 1.0  # seconds, as all times here
POLL_TIMEOUT = 5.0
HEARTBEAT = 15.0  # proxies give up after 60 s of silence
RARELY = 30.0  # between reads of an entry whose turn is far away
IN_LOBBY = 5.0  # between reads of an entry whose lobby is not drawn yet
SLOWEST_POSITION = 10.0
MOST_UNSENT = 16 * 2**10
"""Bytes that wait for a slow reader, in addition to its socket's buffer, before it is dropped."""
RETRY_AFTER_OUTAGE = 5000  # milliseconds
AT_ONCE = 200  # streams that are written to before other coroutines run

DECIDED = ("booked", "unavailable", "left", "lapsed")
TURN = (*DECIDED, "admitted")
SETTLED = ("confirmed", "expired", "cancelled", "failed")

log = structlog.get_logger()


@dataclass(eq=False)
class Stream:
    """One client. known: its subject was read. missing: that buyer has no such subject.

    seen: the id of the last event it got, here or before it reconnected; session: whose end is the
    stream's end, if it is not a queue token that looks.
    """

    event_id: int
    buyer_id: int
    seen: str = ""
    address: str = ""
    session: Session | None = None
    known: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    missing: bool = False
    response: web.StreamResponse | None = None
    transport: asyncio.Transport | None = None
    written_at: float = field(default_factory=monotonic)

    async def begin(self, request: web.Request) -> None:
        """Send the headers of a stream, so that events can follow."""
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        assert isinstance(request.transport, asyncio.Transport)
        self.transport = request.transport
        await self.response.prepare(request)
        await self.write(f"retry: {random.randint(1000, 4000)}\n\n")

    async def send(self, name: str, id: str, data: dict[str, Any]) -> None:
        """Send an event, unless it was the last one seen."""
        if self.response is not None and id != self.seen:
            self.seen = id
            text = json.dumps(data, default=str)
            await self.write(f"event: {name}\nid: {id}\ndata: {text}\n\n")

    async def write(self, text: str) -> None:
        """Write without waiting for the reader; a reader that is too slow is dropped."""
        if self.response is None or self.transport is None or self.ended.is_set():
            return
        if self.transport.get_write_buffer_size() > MOST_UNSENT:
            log.info("slow reader dropped", event_id=self.event_id, buyer_id=self.buyer_id)
            self.transport.abort()
            self.ended.set()
            return
        try:
            await self.response.write(text.encode())
            self.written_at = monotonic()
        except ConnectionError:
            self.ended.set()

    def lose(self) -> None:
        """Mark the subject as missing: it does not exist, or it belongs to another buyer."""
        self.missing = True
        self.known.set()
        self.ended.set()

    def is_over(self) -> bool:
        """Whether the client has seen the last event."""
        raise NotImplementedError

    async def tell(self, board: Board | None) -> None:
        """Send what is new; end after the last event."""
        raise NotImplementedError


@dataclass(eq=False)
class QueueStream(Stream):
    """A buyer's place, then the turn. entry_id: None until it is found by the buyer's id.

    patience: spreads the reads of entries that joined at the same time.
    """

    entry_id: UUID | None = None
    entry: EntryReading | None = None
    read_at: float = 0.0
    patience: float = field(default_factory=lambda: random.uniform(0.5, 1))
    position_at: float = field(default_factory=lambda: monotonic() - random.random() * 10)

    def is_due(self, board: Board | None) -> bool:
        """Whether the entry must be read again, since it may have been decided."""
        if self.entry is None:
            return True
        if self.entry["state"] in DECIDED:
            return False
        if self.entry["state"] in ("standby", "admitted"):
            return True
        age = monotonic() - self.read_at
        if self.entry["state"] == "lobby":
            return age > IN_LOBBY * self.patience
        called = board is not None and board.is_called(self.entry["number"])
        return called or age > RARELY * self.patience

    def take(self, entry: EntryReading | None) -> None:
        """Take a new reading of the entry."""
        if entry is None:
            self.lose()
            return
        self.entry, self.read_at = entry, monotonic()
        self.known.set()

    def is_over(self) -> bool:
        entry = self.entry
        return entry is not None and entry["state"] in DECIDED and self.seen == _turn_id(entry)

    async def tell(self, board: Board | None) -> None:
        entry = self.entry
        if entry is None or self.response is None:
            return
        if entry["state"] in TURN:
            data = {key: value for key, value in entry.items() if key != "id"}
            await self.send("turn", _turn_id(entry), data)
            if entry["state"] in DECIDED:
                self.ended.set()
        elif board is not None:
            await self._tell_position(entry, board)

    async def _tell_position(self, entry: EntryReading, board: Board) -> None:
        """Send the position: at most every second near the front, every ten seconds far back."""
        number = entry["number"]
        ahead = board.ahead(number) if number > 0 else None
        pause = SLOWEST_POSITION if ahead is None else 0.8 * board.poll_base(ahead)
        first = not self.seen
        # A tenth less, because ticks are not exact.
        if not first and monotonic() - self.position_at < min(pause, SLOWEST_POSITION) - 0.1:
            return
        data = {
            "number": number,
            "state": entry["state"],
            "ahead": ahead,
            "now_serving": board.now_serving,
            "estimated_wait_s": board.estimated_wait(number),
            "sale": board.sale,
        }
        id = f"position:{entry['id']}:{entry['state']}:{board.now_serving}:{ahead}:{board.sale}"
        if id != self.seen:
            self.position_at = monotonic()
        await self.send("position", id, data)


def _turn_id(entry: EntryReading) -> str:
    return f"turn:{entry['id']}:{entry['pass_state'] or entry['state']}"


@dataclass(eq=False)
class BookingStream(Stream):
    """The states of a booking."""

    booking_id: UUID = field(kw_only=True)
    booking: BookingReading | None = None

    def take(self, booking: BookingReading | None) -> None:
        if booking is None or booking["buyer_id"] != self.buyer_id:
            self.lose()
            return
        self.booking = booking
        self.known.set()

    def is_over(self) -> bool:
        booking = self.booking
        if booking is None or booking["state"] not in SETTLED:
            return False
        return self.seen == _booking_id(booking)

    async def tell(self, board: Board | None) -> None:
        booking = self.booking
        if booking is None or self.response is None:
            return
        data = {key: value for key, value in booking.items() if key != "buyer_id"}
        await self.send("booking", _booking_id(booking), data)
        if booking["state"] in SETTLED:
            self.ended.set()


def _booking_id(booking: BookingReading) -> str:
    return f"booking:{booking['id']}:{booking['state']}:{booking['payment_state']}"


class Hub:
    """All streams of this process, and the poll that reads the database for them."""

    def __init__(self) -> None:
        self.queues: set[QueueStream] = set()
        self.bookings: set[BookingStream] = set()
        self.by_buyer: Counter[int] = Counter()
        self.by_address: Counter[str] = Counter()
        self.boards: dict[int, Board] = {}
        self.ended = EndedTokens()
        self.ended_at = -OLDEST
        self.polled_at = 0.0
        self.poll_took = 0.0
        self._conn: AsyncConn | None = None
        self._troubled = False

    def __len__(self) -> int:
        return len(self.queues) + len(self.bookings)

    def add(self, stream: Stream) -> None:
        self._set_of(stream).add(stream)
        self.by_buyer[stream.buyer_id] += 1
        self.by_address[stream.address] += 1

    def remove(self, stream: Stream) -> None:
        self._set_of(stream).discard(stream)
        self.by_buyer[stream.buyer_id] -= 1
        if not self.by_buyer[stream.buyer_id]:
            del self.by_buyer[stream.buyer_id]
        self.by_address[stream.address] -= 1
        if not self.by_address[stream.address]:
            del self.by_address[stream.address]

    def _set_of(self, stream: Stream) -> set[Any]:
        return self.queues if isinstance(stream, QueueStream) else self.bookings

    async def run(self) -> None:
        """Poll once a second, for ever; the database may be away for a time."""
        while True:
            began = monotonic()
            try:
                async with asyncio.timeout(POLL_TIMEOUT):
                    await self.poll()
                self._note_success(began)
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._note_trouble(error)
            await self._tell_all()
            await asyncio.sleep(max(POLL_EVERY - (monotonic() - began), 0.1))

    async def poll(self) -> None:
        """Read boards, entries that may have been decided, and bookings: one query for each."""
        if self._conn is None:
            self._conn = await live_readings.connect()
        await self._read_ended(self._conn)
        await self._read_boards(self._conn)
        await self._find_entries(self._conn)
        await self._read_entries(self._conn)
        await self._read_bookings(self._conn)

    async def _read_ended(self, conn: AsyncConn) -> None:
        """Read which tokens were ended."""
        if monotonic() - self.ended_at >= OLDEST:
            self.ended = self.ended.after(
                await live_readings.list_epochs(conn, self.ended.since),
                await live_readings.list_ended(conn, self.ended.sessions_since),
            )
            self.ended_at = monotonic()
            for stream in self._streams():
                if stream.session and self.ended.has_ended(stream.session):
                    stream.ended.set()

    async def _read_boards(self, conn: AsyncConn) -> None:
        readings = await live_readings.list_queues(
            conn, {stream.event_id for stream in self.queues}
        )
        before = self.boards
        self.boards = {r["event_id"]: next_board(before.get(r["event_id"]), r) for r in readings}

    async def _find_entries(self, conn: AsyncConn) -> None:
        """Find the entries of streams with a buyer's token, which does not name the entry."""
        new = [stream for stream in self.queues if stream.entry_id is None]
        if not new:
            return
        found = await live_readings.find_entries(conn, {(s.event_id, s.buyer_id) for s in new})
        for stream in new:
            stream.entry_id = found.get((stream.event_id, stream.buyer_id))
            if stream.entry_id is None:
                stream.lose()

    async def _read_entries(self, conn: AsyncConn) -> None:
        due = [
            (stream, stream.entry_id)
            for stream in self.queues
            if stream.entry_id and stream.is_due(self.boards.get(stream.event_id))
        ]
        if due:
            rows = await live_readings.read_entries(conn, {(s.event_id, id) for s, id in due})
            for stream, id in due:
                stream.take(rows.get(id))

    async def _read_bookings(self, conn: AsyncConn) -> None:
        due = list(self.bookings)
        if due:
            rows = await live_readings.read_bookings(
                conn, {(s.event_id, s.booking_id) for s in due}
            )
            for stream in due:
                stream.take(rows.get(stream.booking_id))

    async def _tell_all(self) -> None:
        """Send news to streams that have any, and heartbeats to streams that were silent."""
        for count, stream in enumerate(self._streams()):
            await stream.tell(self.boards.get(stream.event_id))
            if monotonic() - stream.written_at > HEARTBEAT - POLL_EVERY:
                await stream.write(":\n\n")
            if count % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)

    def _streams(self) -> Collection[Stream]:
        return [*self.queues, *self.bookings]

    def _note_success(self, began: float) -> None:
        self.polled_at, self.poll_took = monotonic(), monotonic() - began
        if self._troubled:
            log.info("polling again")
        self._troubled = False

    async def _note_trouble(self, error: Exception) -> None:
        """Record a failed poll. Streams stay open, since reconnecting would not help."""
        if self._conn is not None:
            await self._conn.close()
            self._conn = None
        if not self._troubled:
            log.warning("poll failed", error=f"{type(error).__name__}: {error}")
            await self._write_all(f": no news for now\nretry: {RETRY_AFTER_OUTAGE}\n\n")
        self._troubled = True

    async def _write_all(self, text: str) -> None:
        for stream in self._streams():
            await stream.write(text)

    def is_well(self) -> bool:
        """Whether the last successful poll was recent."""
        return monotonic() - self.polled_at < 3 * POLL_EVERY

    async def end(self) -> None:
        """End all streams; their clients reconnect to other processes after random pauses."""
        for stream in self._streams():
            await stream.write(f"retry: {random.randint(500, 5000)}\n\n")
            stream.ended.set()
        if self._conn is not None:
            await self._conn.close()
