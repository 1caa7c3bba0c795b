"""The feed under test: what its job does, and a reader that keeps tables of a sale by it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from db.connections import Conn, one
from db.feed import feed
from db.feed.messages import TYPES, VERSION, Message
from tests.support.theatre import Theatre
from tests.support.waiting import wait_until

Rows = dict[Any, Any]


def begin(conn: Conn) -> None:
    """The job's first look: what happens from now on is told."""
    feed.number_feed(conn, 1)


def wait_until_settled(conn: Conn) -> None:
    """Until the transactions that are open now, of other databases as well, have ended."""
    next_xid = one(conn.execute("select pg_snapshot_xmax(pg_current_snapshot()) as x"))["x"]
    query = "select pg_snapshot_xmin(pg_current_snapshot()) >= %s::text::xid8 as ended"
    wait_until(lambda: one(conn.execute(query, [next_xid]))["ended"], 60)


def number_all(conn: Conn, limit: int = 1000) -> list[int]:
    """All that was committed before is told; how many messages each run told."""
    wait_until_settled(conn)
    told = list[int]()
    for _ in range(1000):
        numbered = feed.number_feed(conn, limit)
        told.append(numbered.told)
        if not numbered.remains:
            return told
    raise AssertionError("there is always more")


def read(sale: Theatre, after: int | None = None, *, is_test: bool = False) -> list[Message]:
    """All messages of the organisation after a cursor."""
    return feed.list_messages(
        sale.conn, sale.organisation, is_test=is_test, after=after, limit=10**6
    )


ENDED = ("expired", "cancelled", "failed")
SOLD = ("confirmed", "frozen")


@dataclass
class Reader:
    """Keeps the tables of a sale by what the feed tells, and nothing else."""

    entries: Rows = field(default_factory=dict)
    bookings: Rows = field(default_factory=dict)
    items: Rows = field(default_factory=dict)
    seats: Rows = field(default_factory=dict)
    tickets: Rows = field(default_factory=dict)
    payments: Rows = field(default_factory=dict)
    refunds: Rows = field(default_factory=dict)

    def take(self, messages: Iterable[Message]) -> "Reader":
        for message in messages:
            assert message["type"] in TYPES and message["version"] == VERSION
            noun, _, word = message["type"].partition(".")
            getattr(self, f"_{noun}")(word, message["data"])
        return self

    def _entry(self, word: str, data: dict[str, Any]) -> None:
        state = {"numbered": "waiting"}.get(word, word)
        if word == "joined":
            state = "waiting" if data["number"] else "lobby"
        self.entries[data["entry_id"]] = (state, data["number"], data["quantity"])

    def _booking(self, word: str, data: dict[str, Any]) -> None:
        if word == "seats_returned":
            for seat in data["seats"]:
                self.seats[seat["guid"]] = (data["seat_state"], None)
                self.tickets[seat["ticket_id"]] = (data["booking_id"], "void")
            return
        id, state = data["booking_id"], data["state"]
        self.bookings[id] = (state, data["code"], data["quantity"], data["total"])
        if data["previous_state"] is None and data["entry_id"]:
            _, number, quantity = self.entries[data["entry_id"]]
            self.entries[data["entry_id"]] = ("booked", number, quantity)
        for seat in data["seats"]:
            guid = seat["guid"]
            self.items[id, guid] = tuple(seat[name] for name in ("category", "price", "fee", "tax"))
            self.seats[guid] = (
                ("free", None) if state in ENDED else ("sold" if state in SOLD else "held", id)
            )
            if seat["ticket_id"]:
                self.tickets[seat["ticket_id"]] = (id, "valid")

    def _payment(self, word: str, data: dict[str, Any]) -> None:
        assert data["state"] == word
        facts = (data["booking_id"], data["amount"], data["currency"], data["captured"])
        self.payments[data["payment_id"]] = (word, *facts)

    def _refund(self, word: str, data: dict[str, Any]) -> None:
        assert data["state"] == word
        seats = {seat["guid"]: seat["amount"] for seat in data["seats"]}
        facts = (data["payment_id"], data["booking_id"], data["amount"], data["cause"])
        self.refunds[data["refund_id"]] = (word, *facts, seats)

    def _seats(self, word: str, data: dict[str, Any]) -> None:
        state = "blocked" if word == "blocked" else "free"
        self.seats |= dict.fromkeys(data["seats"], (state, None))


TABLES = {
    "entries": """
        select id::text as key, state, case when number > 0 then number end as number, quantity
        from entries where event_id = %(event)s""",
    "bookings": """
        select id::text as key, state, code, quantity, total
        from bookings where event_id = %(event)s""",
    "items": """
        select array[i.booking_id::text, s.guid] as key, i.category, i.price, i.fee, i.tax
        from booking_items i join events e on e.id = i.event_id
        join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = i.seat
        where i.event_id = %(event)s""",
    "seats": """
        select p.guid as key, s.state, s.booking_id::text
        from seats s join events e on e.id = s.event_id
        join plan_seats p on p.plan_version_id = e.plan_version_id and p.seat = s.seat
        where s.event_id = %(event)s""",
    "tickets": """
        select id::text as key, booking_id::text, state from tickets where event_id = %(event)s""",
    "payments": """
        select id::text as key, state, booking_id::text, amount, currency, captured
        from payments where event_id = %(event)s""",
    "refunds": """
        select r.id::text as key, r.state, r.payment_id::text, r.booking_id::text, r.amount,
            r.cause, coalesce((
                select jsonb_object_agg(s.guid, i.amount) from refund_items i
                join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = i.seat
                where i.refund_id = r.id), '{}') as seats
        from refunds r join events e on e.id = r.event_id where r.event_id = %(event)s""",
}


def tables_of(sale: Theatre) -> dict[str, Rows]:
    """What a reader should have, from the tables themselves. Seats that were always free are left
    out."""
    found = dict[str, Rows]()
    for name, query in TABLES.items():
        rows = sale.conn.execute(query.encode(), {"event": sale.event}).fetchall()
        found[name] = {_key(row.pop("key")): tuple(row.values()) for row in rows}
    return found


def _key(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key
