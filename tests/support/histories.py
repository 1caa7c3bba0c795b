"""What histories of two sales see, and what must hold of a batch: see test_histories.py."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from db.connections import Conn, one
from db.maintenance.invariants import invariants
from db.payments import payments
from db.payments.payments import PaymentOutcome, PaymentProgress
from tests.support.theatre import Entry, Theatre
from tests.support.wishes import Model, Wish

EXAMPLES = int(os.environ.get("USHER_EXAMPLES", "0"))
WAITING = ("waiting", "standby")


def bounded(examples: int, steps: int) -> hypothesis_settings:
    """The same histories each time, unless a campaign is asked for."""
    return hypothesis_settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


@dataclass(frozen=True)
class Look:
    """An event at one moment. seats: by number (category, kind, state); owned: by buyer."""

    entries: dict[int, Entry]
    seats: dict[int, tuple[int, str, str]]
    owned: Counter[int]

    def free(self, but: Sequence[int] = ()) -> Model:
        return Model(
            {
                seat: (category, kind)
                for seat, (category, kind, state) in self.seats.items()
                if state == "free" and seat not in but
            },
            {(category, kind) for category, kind, _ in self.seats.values()},
        )

    def may_hope(self, wish: Wish) -> bool:
        """Whether seats that are held could, if they came back, be what is asked for."""
        if wish.seats:
            return all(self.seats[seat][2] in ("free", "held") for seat in wish.seats)
        return any(
            state == "held" and (wish.accessible or wish.category in (0, category))
            for category, _, state in self.seats.values()
        )

    def waiting(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.state in WAITING]


@dataclass
class Sale:
    """An event and what the history knows of it. late: numbers that committed after 2 s or more."""

    theatre: Theatre
    cap: int
    wishes: dict[int, Wish] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)

    def look(self) -> Look:
        query = """
            select s.seat, s.category, s.state, b.buyer_id as owner,
                case when accessible then 'w' when kept then 'k' else '.' end as kind
            from seats s left join bookings b on b.event_id = s.event_id and b.id = s.booking_id
            where s.event_id = %s order by s.seat"""
        rows = self.theatre.conn.execute(query, [self.theatre.event]).fetchall()
        seats = {row["seat"]: (row["category"], row["kind"], row["state"]) for row in rows}
        owned = Counter(row["owner"] for row in rows if row["owner"])
        return Look(self.theatre.entries(), seats, owned)


@dataclass(frozen=True)
class Booking:
    """Where a booking is, and its latest attempt to pay."""

    event_id: int
    id: UUID
    buyer: int
    state: str
    quantity: int
    payment: str | None
    late: int

    @property
    def key(self) -> dict[str, Any]:
        return {"event_id": self.event_id, "booking_id": self.id}


def read_bookings(conn: Conn) -> list[Booking]:
    """late: by how many seconds the deadline has passed."""
    query = """
        select b.event_id, b.id, b.buyer_id as buyer, b.state, b.quantity, p.state as payment,
            greatest(0, extract(epoch from clock_timestamp() - b.deadline))::integer as late
        from bookings b left join payments p on p.id = b.payment_id
        join entries e on e.event_id = b.event_id and e.id = b.entry_id
        order by b.event_id, e.number"""
    return [Booking(**row) for row in conn.execute(query).fetchall()]


def empty(conn: Conn) -> None:
    """A world without events."""
    query = """
        select string_agg(format('%I', relname), ', ') as tables from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
            and relname not in ('legal_moves', 'currencies', 'payment_methods', 'jobs',
                'schema_version', 'audits')"""
    tables = one(conn.execute(query))["tables"]
    conn.execute("set session_replication_role = replica")  # the log refuses it
    conn.execute(f"truncate {tables}")
    conn.execute("reset session_replication_role")


def broken_invariants() -> str:
    """All of sql/invariants.sql as one query: the names of those that do not hold."""
    cases = [
        f"case when exists ({rule.query.rstrip(';')}\n) then '{rule.name}' end"
        for rule in invariants()
    ]
    return f"select array_remove(array[{', '.join(cases)}], null) as names"


@dataclass(frozen=True)
class Batch:
    """What a drain did to an event. locked: seats that another transaction had locked; told: up to
    this number all had been told before that there is nothing, and it is only written down.
    """

    sale: Sale
    before: Look
    after: Look
    locked: Sequence[int]
    told: int

    def check(self) -> None:
        """As the top of this file has it."""
        unlocked, free = self.before.free(self.locked), self.before.free()
        last = max((e.number for e in self.before.waiting() if self.is_booked(e)), default=0)
        for entry in self.before.waiting():
            wish, now = self.sale.wishes[entry.number], self.after.entries[entry.number]
            if now.state == "booked":
                assert self.before.owned[entry.buyer] + wish.quantity <= self.sale.cap
                unlocked.check(wish, now.seats)
                free.check(wish, now.seats)
            elif now.state == "unavailable":
                if entry.number > self.told:
                    self.check_refusal(now, wish, free)
            else:
                assert now.state in WAITING
                found_late = entry.number in self.sale.late
                assert entry.number > last or found_late or not unlocked.can_meet(wish), (
                    f"{now} was overtaken by {last}"
                )
                if now.state != entry.state:
                    assert self.locked or self.after.may_hope(wish), f"{now} waits for nothing"
        for number, entry in self.before.entries.items():
            if entry.state not in WAITING:
                assert self.after.entries[number] == entry

    def is_booked(self, entry: Entry) -> bool:
        return self.after.entries[entry.number].state == "booked"

    def check_refusal(self, entry: Entry, wish: Wish, free: Model) -> None:
        if entry.reason == "over_cap":
            assert self.before.owned[entry.buyer] + wish.quantity > self.sale.cap
        else:
            assert not free.can_meet(wish), f"{entry} could be met"
            assert not self.after.may_hope(wish), f"{entry} could hope"


@dataclass(frozen=True)
class Joining:
    """Somebody who joins an event. named: picks of seats; else category 0 is any."""

    sale: int
    buyer: int
    quantity: int
    category: int
    together: bool
    accessible: int
    named: tuple[int, ...] | None


@dataclass(frozen=True)
class Moment:
    """What mostly happens in a sale. slow: somebody joins before the crowd, and commits after the
    first batch. locked: picks of seats. paying, late: picks of bookings that are held.
    """

    sale: int
    slow: Joining | None
    crowd: list[Joining]
    locked: list[int]
    change: dict[str, Any] | None
    batches: list[int]
    paying: list[int]
    answers: list[str]
    late: list[int]


def some(candidates: list[Booking], chosen: list[int]) -> list[Booking]:
    """Without repetition."""
    return list({b.id: b for b in (candidates[pick % len(candidates)] for pick in chosen)}.values())


def wish_of(joining: Joining, look: Look) -> Wish:
    categories = max(category for category, _, _ in look.seats.values())
    if joining.named:
        numbers = sorted(look.seats)
        seats = tuple(sorted({numbers[pick % len(numbers)] for pick in joining.named}))
        return Wish(len(seats), 0, seats=seats, accessible=joining.accessible)
    category = joining.category % (categories + 1)
    return Wish(joining.quantity, category, joining.together, joining.accessible)


def wish_fields(sale: Sale, buyer: int, wish: Wish) -> dict[str, Any]:
    return {
        "event_id": sale.theatre.event,
        "buyer_id": buyer,
        "key": str(uuid4()),
        "sha256": b"",
        "quantity": wish.quantity,
        "category": wish.category or None,
        "together": wish.together,
        "accessible": wish.accessible,
        "seats": [f"seat-{seat}" for seat in wish.seats] if wish.seats else None,
        "accept_terms": False,
        "admission": False,
    }


ANSWERS = {
    "authorising": ("authorised", "captured", "failed", "requires_action", "unknown"),
    "expiring": ("authorised", "captured", "failed"),
    "secured": ("captured", "failed"),
}
"""What the gateway may say of a payment, by the state that the booking was read in."""
NOTIFY = """
select enqueue('advance', 'payments', b.id::text, jsonb_build_object('event_id', b.event_id,
    'booking_id', b.id), b.event_id)
from bookings b
where b.event_id = %(event_id)s and b.id = %(booking_id)s
    and not exists (select from outbox where actor = 'advance' and key = b.id::text)
"""


def record(conn: Conn, read: PaymentProgress, answer: str) -> bool:
    if answer == read.payment_state:
        return True
    captured = read.amount if answer == "captured" else 0
    gateway_ref = f"pi_{read.payment_id}"
    return payments.record(
        conn, read, PaymentOutcome(answer, gateway_ref, read.amount, "EUR", captured)
    )


def on_captured(conn: Conn, read: PaymentProgress) -> bool:
    secured = read.booking_state == "secured" or payments.secure_booking(conn, read)
    return secured and payments.confirm_booking(conn, read)


def on_failed(conn: Conn, read: PaymentProgress) -> bool:
    if read.booking_state == "authorising":
        return payments.reopen_booking(conn, read)
    state = {"secured": "failed"}.get(
        read.booking_state, "cancelled" if read.booking_reason == "buyer" else "expired"
    )
    return payments.end_booking(conn, read, state, "test")


def finish(conn: Conn, read: PaymentProgress) -> None:
    """The task ends, unless it was told to run again meanwhile."""
    key = str(read.booking_id)
    conn.execute("delete from outbox where actor = 'advance' and key = %s and not again", [key])
    conn.execute("update outbox set again = false where actor = 'advance' and key = %s", [key])
