"""One theatre for all tests: a venue drawn as text, an event on sale there, and what buyers, the
drain and the gateway do to it. Every move is made by a function that production uses.

    theatre = build_theatre(conn, {1: ["..wk", "...."], 2: ["...."]})

A row is a string: `.` a seat, `w` a place for a wheelchair, `k` the companion's seat beside it, `x`
a blocked seat, a space an aisle. Seats are numbered from 1 as they are drawn, category by category
and row by row; one integer stays unused at every aisle and between rows (db/catalogue/seating.py).

The other face of the theatre, its API, is tests/support/world.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from db.accounts import api_keys, organisations
from db.catalogue import events, plans, venues
from db.catalogue.events import Price
from db.catalogue.seating import Category, Plan, Seat
from db.connections import Conn, maybe, one
from db.payments import payments
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.payments.reviews import Facts
from db.queue import lanes

PRICE = 5000
STALLS, BALCONY = 1, 2
PRICES = {
    STALLS: Price(category=STALLS, price=PRICE, fee=250, tax_rate=Decimal("0.19")),
    BALCONY: Price(category=BALCONY, price=0, fee=0, tax_rate=Decimal(0)),
}
NAMES = {STALLS: "Stalls", BALCONY: "Balcony"}
EVENT: dict[str, Any] = {
    "name": "Evening",
    "time_zone": None,
    "gateway_account_id": None,
    "currency": "EUR",
    "booking_fee": 0,
    "booking_fee_tax_rate": 0,
    "seats_per_buyer": 8,
    "hold_seconds": 600,
    "terms": "",
    "gated": True,
    "claim_seconds": 60,
    "grace_seconds": 300,
    "pass_seconds": 600,
    "payment_methods": ["card"],
    "offline_instructions": "",
    "offline_seconds": None,
    "accessible_release_seconds": None,
}
ADD_ENTRY = """
insert into entries (event_id, number, organisation_id, buyer_id, quantity, category, together,
    accessible, seats, idempotency_key, request_sha256)
values (%s, nextval('entry_numbers_' || %s), %s, %s, %s, %s, %s, %s, %s, gen_random_uuid(), '')
returning number
"""


@dataclass(frozen=True)
class Entry:
    """An entry of the queue: what the drain read, and what became of it."""

    number: int
    buyer: int
    state: str
    reason: str | None
    booking: UUID | None
    seats: list[int]


@dataclass
class Theatre:
    """An event on sale. `plan` is its plan version, `gateway` its gateway account."""

    conn: Conn
    event: int
    organisation: int
    plan: int
    gateway: int
    strangers: "count[int]" = field(default_factory=lambda: count(1))
    """Buyers without an account: numbers from 1, made up as they come."""

    # Buyers and the queue

    def add_buyer(self, name: str) -> int:
        """The buyer of that name, who may be there; a code that was mailed has signed them in."""
        known = maybe(self.conn.execute("select id from buyers where name = %s", [name]))
        if known:
            return int(known["id"])
        query = "insert into accounts (verified_at) values (clock_timestamp()) returning id"
        buyer = int(one(self.conn.execute(query))["id"])
        values = [buyer, f"{name}@usher.example", name]
        self.conn.execute("insert into buyers (id, email, name) values (%s, %s, %s)", values)
        return buyer

    def join(self, name: str, quantity: int, category: int) -> UUID:
        """A buyer joins the queue; the entry's id."""
        query = "select * from join_queue(%s, %s, uuid7()::text, '', %s, %s, true, 0, null, false)"
        values = [self.event, self.add_buyer(name), quantity, category]
        entry = one(self.conn.execute(query, values))
        assert entry["outcome"] == "joined", entry
        return UUID(str(entry["id"]))

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
        """A stranger joins; the number. Without the checks of join_queue, which a drain must not
        rely on: an entry may have waited since before the plan was changed."""
        if seats is not None:
            quantity = len(seats)
        buyer = buyer or next(self.strangers)
        named = sorted(seats) if seats is not None else None
        who = [self.event, self.event, self.organisation, buyer]
        wish = [quantity, category, together, accessible, named]
        return int(one((conn or self.conn).execute(ADD_ENTRY, [*who, *wish]))["number"])

    def enter_many(self, people: int, category: int | None = None) -> None:
        """So many strangers join at once, whose numbers as buyers are those of their entries."""
        query = """
            insert into entries (event_id, number, organisation_id, buyer_id, quantity, category,
                idempotency_key, request_sha256)
            select %(event)s, n, %(organisation)s, n, 1, %(category)s, n::text, ''
            from (select nextval('entry_numbers_' || %(event)s) as n
                  from generate_series(1, %(people)s)) numbers"""
        values = {"event": self.event, "organisation": self.organisation, "people": people}
        self.conn.execute(query, values | {"category": category})

    def drain(self, batch: int = 100) -> lanes.Drained:
        """A batch of this lane, whatever the other lanes want."""
        with self.conn.transaction():
            assert lanes.lock_lane(self.conn, self.event)
            return lanes.drain(self.conn, self.event, batch)

    def serve(self, batch: int = 100) -> None:
        """Serve lanes until none has anything to decide; those that wait for seats rest no more."""
        end_rests(self.conn)
        for _ in range(1000):
            if serve_next(self.conn, batch) is None:
                return
        raise AssertionError("the lanes never come to rest")

    def hold(self, name: str, quantity: int = 2, category: int = STALLS) -> UUID:
        """A buyer's booking, held; confirmed where the category costs nothing."""
        entry = self.join(name, quantity, category)
        self.drain()
        query = "select id from bookings where event_id = %s and entry_id = %s"
        return UUID(str(one(self.conn.execute(query, [self.event, entry]))["id"]))

    def book(self, quantity: int = 1, category: int | None = None, **wish: Any) -> UUID:
        """A stranger's booking, held: see enter."""
        number = self.enter(quantity, category, **wish)
        self.drain()
        return self.booking_of(number)

    # What there is

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

    def state_of(self, booking: UUID) -> str:
        query = "select state from bookings where event_id = %s and id = %s"
        return str(one(self.conn.execute(query, [self.event, booking]))["state"])

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

    def lane(self) -> dict[str, Any]:
        """What the organiser sets, and what drains keep."""
        query = "select * from lanes join lane_state using (event_id) where event_id = %s"
        return one(self.conn.execute(query, [self.event]))

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

    # The time to pay

    def overdue(self, *bookings: UUID, seconds: float = 1) -> None:
        """Make it so that their deadlines were so many seconds ago."""
        query = """
            update bookings set deadline = clock_timestamp() - make_interval(secs => %s)
            where id = any (%s)"""
        self.conn.execute(query, [seconds, list(bookings)])

    def expire(self, *bookings: UUID, seconds: float = 1) -> None:
        """Their time is over, and the clock ticks."""
        self.overdue(*bookings, seconds=seconds)
        self.conn.execute("select expire_holds(1000)")

    # The saga, step by step, and what the gateway says meanwhile

    def pay(self, booking: UUID) -> UUID:
        """The buyer begins to pay: the booking is authorising. The payment's id."""
        query = """
            select s.outcome, s.payment_id from bookings b, start_payment(b.event_id, b.id,
                b.buyer_id, 'pm_card', 'http://usher.example') s where b.id = %s"""
        started = one(self.conn.execute(query, [booking]))
        assert started["outcome"] == "started", started
        return UUID(str(started["payment_id"]))

    def progress(self, booking: UUID) -> PaymentProgress:
        return payments.get_progress(self.conn, self.event, booking)

    def record(self, booking: UUID, state: str, captured: int = 0, **more: Any) -> PaymentProgress:
        """The gateway says what the present payment is: see PaymentOutcome."""
        progress = self.progress(booking)
        said = (f"pi_{progress.payment_id}", progress.amount, progress.payment_currency, captured)
        assert payments.record(self.conn, progress, PaymentOutcome(state, *said, **more))
        return self.progress(booking)

    def authorise(self, booking: UUID, **more: Any) -> UUID:
        """The money is reserved; the payment's id."""
        payment = self.pay(booking)
        self.record(booking, "authorised", **more)
        return payment

    def secure(self, booking: UUID) -> UUID:
        """The money is reserved, and the seats no longer expire."""
        payment = self.authorise(booking)
        assert payments.secure_booking(self.conn, self.progress(booking))
        return payment

    def confirm(self, booking: UUID) -> UUID:
        """The whole way of a held booking that costs something."""
        payment = self.pay(booking)
        self.carry_on(booking)
        return payment

    def carry_on(self, booking: UUID) -> None:
        """The rest of the way, when the buyer has begun to pay."""
        self.record(booking, "authorised")
        assert payments.secure_booking(self.conn, self.progress(booking))
        with self.conn.transaction():
            progress = self.record(booking, "captured", self.progress(booking).amount)
            assert payments.confirm_booking(self.conn, progress)
            self.finish("advance", booking)

    def review(self, booking: UUID) -> UUID:
        """The money is reserved, and the gateway wants a person to look at the payment."""
        payment = self.authorise(booking, facts=Facts(gateway_review=True))
        with self.conn.transaction():
            assert payments.secure_or_review(self.conn, self.progress(booking)) == "review"
            self.finish("advance", booking)
        return payment

    def release(self, booking: UUID) -> None:
        """The time to pay is over while the gateway has been away for long: the booking ends,
        whatever becomes of its payment. Its task looks at that."""
        self.overdue(booking, seconds=120)
        with self.conn.transaction():
            self.conn.execute("select expire_holds(1000)")
            assert payments.end_booking(
                self.conn, self.progress(booking), "expired", "gateway_away"
            )

    def cancel(self, booking: UUID) -> UUID:
        """The organiser takes a confirmed booking back, with all of its money; the refund's id."""
        query = """
            select outcome, refund_id from request_refund(%s, null, %s, null, null, true, 'asked',
                true)"""
        asked = one(self.conn.execute(query, [self.event, booking]))
        assert asked["outcome"] == "done", asked
        return UUID(str(asked["refund_id"]))

    def dispute(self, booking: UUID) -> None:
        """A confirmed booking's payment is disputed."""
        query = """
            select record_dispute(event_id, id, 'du_1', 'needs_response', 'fraudulent', amount,
                currency, null)
            from payments where booking_id = %s"""
        self.conn.execute(query, [booking])

    def sell_through_own_account(self) -> None:
        """The organisation has an account of its own at the gateway, and not the platform's."""
        query = """
            update gateway_accounts
            set access = 'own_keys', external_account = 'acct_' || id, real_account_id = id
            where id in (select gateway_account_id from events where id = %s)"""
        self.conn.execute(query, [self.event])

    def number_receipts(self) -> None:
        """Those that are due by now."""
        self.conn.execute("select number_receipts(%s, 500)", [self.organisation])

    def enqueue(self, actor: str, queue: str, key: str, **args: Any) -> None:
        values = [actor, queue, key, Jsonb(args), self.event]
        self.conn.execute("select enqueue(%s, %s, %s, %s, %s)", values)

    def finish(self, actor: str, booking: UUID) -> None:
        """A worker has done the task."""
        self.conn.execute("delete from outbox where actor = %s and key = %s", [actor, str(booking)])


def build_theatre(
    conn: Conn, rows: Mapping[int, Sequence[str]], *, prices: Mapping[int, int] | None = None
) -> Theatre:
    """rows: by category, from 1; prices: those that are not PRICE, and without fees."""
    given = prices or {}
    return open_theatre(
        conn,
        rows,
        [
            Price(category=n, price=given.get(n, PRICE), fee=0, tax_rate=Decimal(0))
            for n in sorted(rows)
        ],
    )


def build_evening(conn: Conn, *, test_mode: bool = False) -> Theatre:
    """Twelve rows of ten seats: rows 1 to 6, the stalls, cost money; the balcony does not."""
    rows = {STALLS: ["." * 10] * 6, BALCONY: ["." * 10] * 6}
    return open_theatre(conn, rows, list(PRICES.values()), test_mode=test_mode)


def open_theatre(
    conn: Conn,
    rows: Mapping[int, Sequence[str]],
    prices: Sequence[Price],
    *,
    test_mode: bool = False,
) -> Theatre:
    """Add an organisation with all that its event needs, and open the sale."""
    with conn.transaction():
        organisation = api_keys.add_organisation(conn, "Usher Theatre")
        if test_mode:
            organisations.change_organisation(conn, None, organisation, {"test_mode": True})
        venue = venues.add_venue(conn, organisation, "Theatre", "", "Europe/Berlin")["id"]
        plan_id = plans.add_plan(conn, organisation, venue, "Theatre")
        plan, blocked = read_drawing(rows)
        version = plans.add_version(conn, organisation, plan_id, plan, b"{}")["version_id"]
        fields = EVENT | times() | {"venue_id": venue, "plan_version_id": version}
        event = events.add_event(conn, organisation, fields, prices)
        events.open_sale(conn, organisation, event)
        if blocked:
            events.block_seats(conn, organisation, event, blocked, block=True)
    return Theatre(conn, event, organisation, version, fields["gateway_account_id"])


def times() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "on_sale_at": now - timedelta(hours=1),
        "off_sale_at": now + timedelta(days=29),
        "starts_at": now + timedelta(days=30),
    }


def read_drawing(rows: Mapping[int, Sequence[str]]) -> tuple[Plan, list[str]]:
    """The plan, and the guids of the seats that are blocked."""
    seats: list[Seat] = []
    blocked: list[str] = []
    following, label = 1, 0
    for category, drawings in rows.items():
        zone = NAMES.get(category, f"Zone {category}")
        for drawing in drawings:
            label += 1
            for place, kind in enumerate(drawing):
                if kind == " ":
                    continue
                seat, guid = following + place, f"seat-{following + place}"
                centre = int((2 * place - len(drawing) + 1) / 2)
                name = (seat, guid, zone, str(label), str(place + 1), category - 1)
                where = (place, label, centre)
                seats.append(Seat(*name, kind == "w", False, *where, kind == "k", False))
                if kind == "x":
                    blocked.append(guid)
            following += len(drawing) + 1
    names = [NAMES.get(category, f"Zone {category}") for category in sorted(rows)]
    categories = [Category(name, "") for name in names]
    return Plan("Theatre", (100, 100), categories, seats), blocked


def stage_every_state(conn: Conn) -> dict[str, UUID]:
    """An event with bookings in every state, none of them wrong. Gives the bookings by their state;
    `free` is confirmed and cost nothing, `action` is authorising and waits for the buyer.
    """
    theatre = build_evening(conn)
    names = ("held", "authorising", "action", "expiring", "review", "secured", "confirmed",
             "frozen", "expired", "cancelled")  # fmt: skip
    bookings = {name: theatre.hold(name) for name in names}
    bookings["free"] = theatre.hold("free", category=BALCONY)
    theatre.pay(bookings["authorising"])
    theatre.pay(bookings["action"])
    theatre.record(bookings["action"], "requires_action")
    theatre.finish("advance", bookings["action"])
    theatre.pay(bookings["expiring"])
    theatre.record(bookings["expiring"], "unknown")
    theatre.expire(bookings["expiring"], seconds=120)
    theatre.review(bookings["review"])
    theatre.secure(bookings["secured"])
    theatre.confirm(bookings["confirmed"])
    theatre.confirm(bookings["frozen"])
    theatre.number_receipts()
    theatre.dispute(bookings["frozen"])
    theatre.expire(bookings["expired"])
    theatre.confirm(bookings["cancelled"])
    theatre.cancel(bookings["cancelled"])
    theatre.join("waiting", 2, STALLS)
    return bookings


def serve_next(conn: Conn, batch: int = 100) -> int | None:
    """One batch of the lane that is due; its event."""
    with conn.transaction():
        event = lanes.next_lane(conn)
        if event is not None:
            lanes.drain(conn, event, batch)
        return event


def end_rests(conn: Conn) -> None:
    """A quarter of a second goes by: lanes that wait for seats look at what was settled."""
    conn.execute("update lane_state set rest_until = null where state = 'waiting_for_seats'")


@contextmanager
def another(conn: Conn) -> Iterator[Conn]:
    """A second connection to the database of `conn`; it commits with the block."""
    with psycopg.connect(conn.info.dsn, password=conn.info.password, row_factory=dict_row) as other:
        yield other


def is_waited_for(conn: Conn) -> bool:
    """Whether another connection waits for what the transaction of this one has locked."""
    query = "select from pg_locks where not granted and %s = any (pg_blocking_pids(pid))"
    return conn.execute(query, [conn.info.backend_pid]).fetchone() is not None
