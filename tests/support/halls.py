"""A hall drawn as text, its event, and a queue in front of it, made in the database alone.

A row is a string: `.` a seat, `w` a place for a wheelchair, `k` the companion's seat beside it, `x`
a blocked seat, a space an aisle. Seats are numbered from 1 as they are drawn, category by category
and row by row; one integer stays unused at every aisle and between rows (db/catalogue/seating.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from db.connections import Conn, only
from db.queue import lanes

PRICE = 5000
ADD_EVENT = """
with organisation as (
    insert into organisations (name) values ('Usher Theatre') returning id
), gateway as (
    insert into gateway_accounts (organisation_id, provider)
    select id, 'stripe' from organisation returning id
), venue as (
    insert into venues (organisation_id, name, time_zone)
    select id, 'Theatre', 'Europe/Berlin' from organisation returning id
), plan as (
    insert into plans (organisation_id, venue_id, name)
    select o.id, v.id, 'Theatre' from organisation o, venue v returning id
), version as (
    insert into plan_versions (plan_id, version, source, seat_count)
    select id, 1, '{}', 1 from plan returning id
)
insert into events (organisation_id, venue_id, plan_version_id, gateway_account_id, name, state,
    starts_at, on_sale_at, off_sale_at, time_zone, currency)
select o.id, v.id, p.id, g.id, 'Evening', 'on_sale', now() + interval '30 days',
    now() - interval '1 hour', now() + interval '29 days', 'Europe/Berlin', 'EUR'
from organisation o, gateway g, venue v, version p
returning id, plan_version_id, gateway_account_id
"""
ADD_CATEGORY = """
with named as (
    insert into plan_categories (plan_version_id, category, name)
    values (%(plan)s, %(category)s, %(name)s)
)
insert into event_categories (event_id, category, name, price)
values (%(event)s, %(category)s, %(name)s, %(price)s)
"""
ADD_SEAT = """
insert into plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion,
    restricted, general_admission, zone, row_label, number, x, y)
values (%s, %s, 'seat-' || %s, %s, %s, %s, %s, false, false, 'hall', '', '', 0, 0)
"""
ADD_ENTRY = """
insert into entries (event_id, number, organisation_id, buyer_id, quantity, category, together,
    accessible, seats, idempotency_key, request_sha256)
values (%s, nextval('entry_numbers_' || %s), 1, %s, %s, %s, %s, %s, %s, gen_random_uuid(), '')
returning number
"""


@dataclass(frozen=True)
class Entry:
    """Somebody who waits: what the drain read, and what became of it."""

    number: int
    buyer: int
    state: str
    reason: str | None
    booking: UUID | None
    seats: list[int]


@dataclass
class Hall:
    """An event on sale. Buyers are numbers from 1, made up as they come."""

    conn: Conn
    event: int
    plan: int
    gateway: int
    buyers: "count[int]"

    def enter(
        self,
        quantity: int = 1,
        category: int | None = None,
        *,
        together: bool = True,
        accessible: int = 0,
        seats: Sequence[int] | None = None,
        buyer: int | None = None,
        conn: Conn | None = None,
    ) -> int:
        """Somebody joins; the number. Without the checks of join_queue."""
        if seats is not None:
            quantity = len(seats)
        buyer = buyer or next(self.buyers)
        named = sorted(seats) if seats is not None else None
        values = [self.event, self.event, buyer, quantity, category, together, accessible, named]
        return int(only((conn or self.conn).execute(ADD_ENTRY, values).fetchall())["number"])

    def drain(self, batch: int = 100) -> lanes.Drained:
        """A batch of this lane, whatever the other lanes want."""
        with self.conn.transaction():
            assert lanes.lock_lane(self.conn, self.event)
            return lanes.drain(self.conn, self.event, batch)

    def serve(self, batch: int = 100) -> None:
        """Serve lanes until none has anything to decide."""
        for _ in range(1000):
            if serve_next(self.conn, batch) is None:
                return
        raise AssertionError("the lanes never come to rest")

    def entries(self) -> dict[int, Entry]:
        """By number, in that order."""
        query = """
            select e.number, e.buyer_id as buyer, e.state, e.reason, e.booking_id as booking, array(
                select seat from booking_items i where i.event_id = e.event_id
                    and i.booking_id = e.booking_id order by seat) as seats
            from entries e where e.event_id = %s order by e.number"""
        rows = self.conn.execute(query, [self.event]).fetchall()
        return {row["number"]: Entry(**row) for row in rows}

    def states(self) -> list[str]:
        """Of the entries, in the order of their numbers."""
        return [entry.state for entry in self.entries().values()]

    def seats_of(self, number: int) -> list[int]:
        return self.entries()[number].seats

    def booking_of(self, number: int) -> UUID:
        booking = self.entries()[number].booking
        assert booking is not None
        return booking

    def draw(self) -> str:
        """All seats in order: `.` free, `x` blocked, else the number of the entry, rows apart."""
        query = """
            select s.seat, s.state, e.number from seats s
            left join entries e on e.event_id = s.event_id and e.booking_id = s.booking_id
            where s.event_id = %s order by s.seat"""
        drawn, last = "", 0
        for row in self.conn.execute(query, [self.event]).fetchall():
            drawn += " " * (row["seat"] > last + 1)
            drawn += {"free": ".", "blocked": "x"}.get(row["state"], str(row["number"]))
            last = row["seat"]
        return drawn.strip()

    def hold(self, quantity: int = 1, category: int | None = None, **wish: Any) -> UUID:
        """Somebody joins and is served; the booking."""
        number = self.enter(quantity, category, **wish)
        self.drain()
        return self.booking_of(number)

    def expire(self, *bookings: UUID) -> None:
        """Their time is over, and the clock ticks."""
        self.overdue(*bookings)
        self.conn.execute("select expire_holds(1000)")

    def overdue(self, *bookings: UUID, seconds: float = 1) -> None:
        """Make it so that their deadlines were so many seconds ago."""
        self.conn.execute(
            "update bookings set deadline = clock_timestamp() - make_interval(secs => %s)"
            " where id = any (%s)",
            [seconds, list(bookings)],
        )

    def pay(self, booking: UUID) -> UUID:
        """The buyer begins to pay: authorising, the payment intended. The payment's id."""
        query = """
            select s.outcome, s.payment_id from bookings b, start_payment(b.event_id, b.id,
                b.buyer_id, 'pm_card', 'http://usher.example') s where b.id = %s"""
        started = only(self.conn.execute(query, [booking]).fetchall())
        assert started["outcome"] == "started"
        return UUID(str(started["payment_id"]))

    def set_payment(self, payment: UUID, state: str) -> None:
        self.conn.execute(
            "update payments set state = %(state)s, gateway_ref = 'pi_' || id,"
            " captured = case when %(state)s = 'captured' then amount else captured end"
            " where id = %(payment)s",
            {"state": state, "payment": payment},
        )

    def confirm(self, booking: UUID) -> None:
        """The whole way of a held booking that costs something."""
        payment = self.pay(booking)
        self.set_payment(payment, "authorised")
        values = [self.event, booking, payment]
        self.conn.execute("select secure_booking(%s, %s, %s)", values)
        self.set_payment(payment, "captured")
        with self.conn.transaction():
            self.conn.execute("select confirm_booking(%s, %s, %s)", values)
            self.conn.execute("delete from outbox where key = %s", [str(booking)])

    def state_of(self, booking: UUID) -> str:
        query = "select state from bookings where event_id = %s and id = %s"
        return str(only(self.conn.execute(query, [self.event, booking]).fetchall())["state"])

    def lane(self) -> dict[str, Any]:
        """What the organiser sets, and what drains keep."""
        query = "select * from lanes join lane_state using (event_id) where event_id = %s"
        return only(self.conn.execute(query, [self.event]).fetchall())

    def set_lane(self, **values: Any) -> None:
        """As the organiser does."""
        columns = ", ".join(f"{name} = %({name})s" for name in values)
        self.conn.execute(
            psycopg.sql.SQL(f"update lanes set {columns} where event_id = %(event)s"),
            values | {"event": self.event},
        )

    def set_event(self, **values: Any) -> None:
        columns = ", ".join(f"{name} = %({name})s" for name in values)
        self.conn.execute(
            psycopg.sql.SQL(f"update events set {columns} where id = %(event)s"),
            values | {"event": self.event},
        )


def build_hall(
    conn: Conn, rows: Mapping[int, Sequence[str]], *, prices: Mapping[int, int] | None = None
) -> Hall:
    """rows: by category; prices: those that are not PRICE."""
    made = only(conn.execute(ADD_EVENT).fetchall())
    event, plan = made["id"], made["plan_version_id"]
    for category in rows:
        values = {
            "plan": plan,
            "event": event,
            "category": category,
            "name": f"category {category}",
        }
        conn.execute(ADD_CATEGORY, values | {"price": (prices or {}).get(category, PRICE)})
    drawn = list(_number(rows))
    seats = [
        (plan, seat, seat, c, centre, kind == "w", kind == "k") for seat, c, centre, kind in drawn
    ]
    with conn.cursor() as cursor:
        cursor.executemany(ADD_SEAT, seats)
    conn.execute("select open_event(%s)", [event])
    blocked = [seat for seat, _, _, kind in drawn if kind == "x"]
    conn.execute(
        "update seats set state = 'blocked' where event_id = %s and seat = any (%s)",
        [event, blocked],
    )
    return Hall(conn, event, plan, made["gateway_account_id"], count(1))


def _number(rows: Mapping[int, Sequence[str]]) -> Iterator[tuple[int, int, int, str]]:
    """(seat, category, centre, kind) of every seat."""
    following = 1
    for category, drawings in rows.items():
        for drawing in drawings:
            for place, kind in enumerate(drawing):
                if kind != " ":
                    yield following + place, category, int((2 * place - len(drawing) + 1) / 2), kind
            following += len(drawing) + 1


def serve_next(conn: Conn, batch: int = 100) -> int | None:
    """One batch of the lane that is due; its event."""
    with conn.transaction():
        event = lanes.next_lane(conn)
        if event is not None:
            lanes.drain(conn, event, batch)
        return event


@contextmanager
def another(conn: Conn) -> Iterator[Conn]:
    """A second connection to the database of `conn`; it commits with the block."""
    with psycopg.connect(conn.info.dsn, password=conn.info.password, row_factory=dict_row) as other:
        yield other


def is_waited_for(conn: Conn) -> bool:
    """Whether another connection waits for what the transaction of this one has locked."""
    query = "select from pg_locks where not granted and %s = any (pg_blocking_pids(pid))"
    return conn.execute(query, [conn.info.backend_pid]).fetchone() is not None
