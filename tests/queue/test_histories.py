"""Histories: whatever may happen to two sales, in any order, against a real Postgres.

Buyers join, some of their joins commit late, they leave, pay and give up; drains take batches and
crash; time goes by; the organiser pauses, throttles and blocks. After each step every query of
sql/invariants.sql must return no row, and no seat may be gone. What must hold of a batch is told by
a model that is slow and obvious (test_choose_seats.Model):

- Nobody is overtaken. Of all that wait or are on standby in the event, and were committed when the
  batch was read, take those with a number below the highest that the batch booked, in the order of
  their numbers. Each of them got exactly what was asked for, within the cap on seats per buyer; or
  is over that cap; or could not be met with what was free, less what lower numbers got in this
  batch. It does not matter whether those who were booked asked for the same or for something else.
  Seats that another transaction has locked are not free for this, but whoever fails for them alone
  may not be refused.
- Nobody is refused who could be met, or who may hope: for a best available seat while one of the
  category is held, for named seats while each is free or held. Nobody begins to wait on standby
  without such a hope.
- When no lane has anything to decide, nobody waits who could be met, unless their lane is paused or
  at its cap; and where nothing is held, nobody waits at all.
- At the end of a history all pending payments fail and all holds expire, again and again, until
  nobody is left: every entry that was accepted is booked, unavailable or left.

The one exception, as designed: whoever committed more than two seconds after taking the number is
found within two seconds more. Histories have a clock of their own for that; in the lanes it stands
still, but for the step `let_two_seconds_go_by`.

USHER_EXAMPLES=5000 makes a campaign of it, of other histories each time.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from itertools import combinations
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from db.bookings import bookings
from db.catalogue import events
from db.connections import Conn, only
from db.maintenance.invariants import invariants, violations
from db.payments import payments
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.queue import entries, lanes
from db.runtime.errors import Conflict, InvalidRequest
from tests.support.theatre import Entry, Theatre, another, build_theatre, serve_next
from tests.support.wishes import Model, Rows, Wish

EXAMPLES = int(os.environ.get("USHER_EXAMPLES", "0"))
BUYERS = 14
WAITING = ("waiting", "standby")
PENDING = ("held", "authorising", "expiring", "secured")
NO_CAP = 10**6


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


# What is in the database


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
            }
        )

    def may_hope(self, wish: Wish) -> bool:
        """Whether seats that are held could, if they came back, be what is asked for."""
        if wish.seats:
            return all(self.seats[seat][2] in ("free", "held") for seat in wish.seats)
        return any(
            state == "held" and wish.category in (0, category)
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
            and relname not in ('legal_moves', 'currencies', 'jobs', 'schema_version', 'audits')"""
    tables = only(conn.execute(query).fetchall())["tables"]
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


# What must hold of a batch


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


# Strategies: small and scarce, so that all gets in the way of all. Picks are places in a list of
# candidates, modulo its length.

picks = st.integers(0, 11)
drawn_row = st.text("......wkx ", min_size=2, max_size=7).filter(str.strip)
plans = st.lists(st.lists(drawn_row, min_size=1, max_size=3), min_size=1, max_size=2).map(
    lambda categories: cast(Rows, dict(enumerate(categories, 1)))
)


lane_changes = st.sampled_from(
    [{"paused": True}, {"paused": False}, {"paused": False}, {"weight": 1}, {"weight": 5}]
    + [{"in_flight_cap": cap} for cap in (1, 3, None, None)]
)
caps_per_buyer = st.sampled_from([1, 2, 4, 8]).map(lambda cap: {"seats_per_buyer": cap})
blocks = st.fixed_dictionaries(
    {"seats": st.lists(picks, min_size=1, max_size=4), "block": st.booleans()}
)


gateway_answers = st.sampled_from(
    ["authorised", "authorised", "captured", "failed", "requires_action", "unknown"]
)


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


joinings = st.builds(
    Joining,
    sale=st.integers(0, 1),
    buyer=st.integers(1, BUYERS),
    quantity=st.sampled_from([1, 1, 2, 2, 3, 4]),
    category=st.integers(0, 2),
    together=st.booleans(),
    accessible=st.sampled_from([0, 0, 0, 0, 1]),
    named=st.none() | st.none() | st.lists(picks, min_size=1, max_size=3).map(tuple),
)


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


def a_few(what: Any, least: int = 0) -> Any:
    return st.lists(what, min_size=least, max_size=least + 3)


moments = st.builds(
    Moment,
    sale=st.integers(0, 1),
    slow=joinings | st.none(),
    crowd=a_few(joinings, 2),
    locked=a_few(picks),
    change=lane_changes | caps_per_buyer | blocks | st.none(),
    batches=a_few(st.sampled_from([100, 3, 2, 1]), 3),
    paying=a_few(picks, 1),
    answers=a_few(gateway_answers, 1),
    late=a_few(picks),
)


Step = Callable[..., None]


def step(**arguments: Any) -> Callable[[Step], Step]:
    """A rule; a history in which one failed is not carried to its end."""

    def decorate(act: Step) -> Step:
        @wraps(act)
        def run(self: "Histories", **values: Any) -> None:
            self.sound = False
            act(self, **values)

        stepping: Step = cast(Any, rule)(**arguments)(run)
        return stepping

    return decorate


def given_one(*states: str) -> Callable[[Step], Step]:
    """Only while there is a booking in such a state."""
    return precondition(lambda self: bool(self.those(states)))


class Histories(RuleBasedStateMachine):
    """Two sales. `late` is a connection whose transaction holds at most one join that is not yet
    committed; `beside` is somebody else's.
    """

    invariants_query = broken_invariants()

    def __init__(self, conn: Conn, late: Conn, beside: Conn) -> None:
        super().__init__()
        self.conn, self.late, self.beside = conn, late, beside
        self.sound = False
        self.sales: list[Sale] = []
        self.bookings: list[Booking] = []
        self.joining_late: tuple[Joining, int] | None = None
        self.two_seconds_late = False
        self.calls: dict[UUID, PaymentProgress] = {}

    @initialize(
        rows=st.tuples(plans, plans),
        cap=st.sampled_from([3, 4, 8]),
        free=st.sampled_from([(), (), (2,)]),
        in_flight_cap=st.sampled_from([None, 1, 2, 4]),
        crowd=st.lists(joinings, min_size=4, max_size=9),
        begun=st.lists(moments, min_size=1, max_size=4),
    )
    def open_sales(
        self,
        rows: tuple[Rows, Rows],
        cap: int,
        free: tuple[int, ...],
        in_flight_cap: int | None,
        crowd: list[Joining],
        begun: list[Moment],
    ) -> None:
        self.sound = False
        empty(self.conn)
        for plan in rows:
            theatre = build_theatre(self.conn, plan, prices=dict.fromkeys(free, 0))
            theatre.set_event(seats_per_buyer=cap)
            theatre.set_lane(in_flight_cap=in_flight_cap)
            self.sales.append(Sale(theatre, cap))
        self.conn.execute("update lane_state set low_water_reset_at = '2100-01-01'")
        self.seats = self.count_seats()
        self.join_all(crowd)
        for moment in begun:
            self.live(moment)

    # Buyers in the queue

    @step(crowd=st.lists(joinings, min_size=1, max_size=6))
    def people_join(self, crowd: list[Joining]) -> None:
        self.join_all(crowd)

    def join_all(self, crowd: list[Joining]) -> None:
        for joining in crowd:
            if not self.is_joining_late(joining):
                self.join(self.conn, joining)

    @precondition(lambda self: self.joining_late is None)
    @step(joining=joinings)
    def takes_a_number(self, joining: Joining) -> None:
        """A join whose transaction does not end yet."""
        self.take_number(joining)

    def take_number(self, joining: Joining) -> None:
        number = self.join(self.late, joining)
        if number is None:
            self.late.rollback()
        else:
            self.joining_late, self.two_seconds_late = (joining, number), False

    @precondition(lambda self: self.joining_late is not None)
    @step(commits=st.sampled_from([True, True, False]), very_late=st.booleans())
    def ends_the_late_join(self, commits: bool, very_late: bool) -> None:
        if very_late:
            self.let_two_seconds_go_by()
            self.drain(1)
        self.end_late_join(commits)

    def end_late_join(self, commits: bool) -> None:
        if self.joining_late is None:
            return
        joining, number = self.joining_late
        self.joining_late = None
        if commits:
            self.late.commit()
            if self.two_seconds_late:
                self.sales[joining.sale].late.add(number)
        else:
            self.late.rollback()
            del self.sales[joining.sale].wishes[number]

    def is_joining_late(self, joining: Joining) -> bool:
        """The same buyer would wait for the transaction that is open."""
        mine = (joining.sale, joining.buyer)
        return self.joining_late is not None and mine == (
            self.joining_late[0].sale,
            self.joining_late[0].buyer,
        )

    def join(self, conn: Conn, joining: Joining) -> int | None:
        """The number; None, if it is rightly refused."""
        sale = self.sales[joining.sale]
        look = sale.look()
        wish = wish_of(joining, look)
        refusal = self.refusal_of(joining.buyer, wish, sale, look)
        try:
            joined = entries.join_queue(conn, wish_fields(sale, joining.buyer, wish))
        except (Conflict, InvalidRequest) as refused:
            assert refusal in refused.details.values()
            return None
        assert refusal is None and joined["state"] == "waiting"
        sale.wishes[joined["number"]] = wish
        return int(joined["number"])

    def refusal_of(self, buyer: int, wish: Wish, sale: Sale, look: Look) -> str | None:
        if look.owned[buyer] + wish.quantity > sale.cap:
            return "over_cap"
        if wish.seats and not wish.accessible and any(look.seats[s][1] != "." for s in wish.seats):
            return "kept_seat"
        return "already_waiting" if any(e.buyer == buyer for e in look.waiting()) else None

    @step(sale=st.integers(0, 1), pick=picks)
    def leaves(self, sale: int, pick: int) -> None:
        waiting = self.sales[sale].look().waiting()
        if waiting:
            entry = waiting[pick % len(waiting)]
            theatre = self.sales[sale].theatre
            query = "select id from entries where event_id = %s and number = %s"
            entry_id = only(self.conn.execute(query, [theatre.event, entry.number]).fetchall())[
                "id"
            ]
            entries.leave_queue(self.conn, theatre.event, entry_id, entry.buyer)

    # The drain

    @step(
        batch=st.sampled_from([1, 2, 3, 100]),
        crashes=st.sampled_from([False, False, False, True]),
        meanwhile=st.tuples(st.none() | joinings, st.none() | joinings),
        locked=st.just([]) | st.lists(picks, max_size=3),
    )
    def drains(
        self,
        batch: int,
        crashes: bool,
        meanwhile: tuple[Joining | None, Joining | None],
        locked: list[int],
    ) -> None:
        """One batch; others join just before it is read, and before it is committed, or lost."""
        self.drain(batch, crashes=crashes, meanwhile=meanwhile, locked=locked)

    @step(batch=st.sampled_from([1, 2, 100]), most=st.integers(1, 9), later=st.booleans())
    def drains_follow_each_other(self, batch: int, most: int, later: bool) -> None:
        if later:
            self.let_two_seconds_go_by()
        for _ in range(most):
            if not self.drain(batch):
                break

    def drain(
        self,
        batch: int,
        *,
        crashes: bool = False,
        meanwhile: tuple[Joining | None, Joining | None] = (None, None),
        locked: Sequence[int] = (),
    ) -> bool:
        """False: no lane has anything to decide."""
        with self.conn.transaction(force_rollback=crashes):
            event = lanes.next_lane(self.conn)
            if event is None:
                self.check_rest()
                return False
            sale = next(sale for sale in self.sales if sale.theatre.event == event)
            lane = sale.theatre.lane()
            told = self.told_through(sale)
            assert told or not lane["paused"]
            self.join_beside(meanwhile[0])
            with self.locking(sale, locked) as numbers:
                before = sale.look()
                done = lanes.drain(self.conn, event, batch)
                Batch(sale, before, sale.look(), numbers, told).check()
                assert not done.booked or self.pending(sale) <= (lane["in_flight_cap"] or NO_CAP)
            self.join_beside(meanwhile[1])
        self.conn.execute(
            "update lane_state set low_water_reset_at = '2100-01-01'"
            " where low_water_reset_at > '2000-01-01'"
        )
        return True

    def told_through(self, sale: Sale) -> int:
        """Up to which number all are told, by an ending that is being written; else 0."""
        query = "select last_number from queue_endings where event_id = %s"
        rows = self.conn.execute(query, [sale.hall.event]).fetchall()
        return int(rows[0]["last_number"]) if rows else 0

    def join_beside(self, joining: Joining | None) -> None:
        """Whoever has an entry would wait for the drain."""
        if joining is None or self.is_joining_late(joining):
            return
        if all(e.buyer != joining.buyer for e in self.sales[joining.sale].look().entries.values()):
            self.join(self.beside, joining)
            self.beside.commit()

    @contextmanager
    def locking(self, sale: Sale, locked: Sequence[int]) -> Iterator[list[int]]:
        """Somebody else has locked free seats; their numbers."""
        seats = sorted(sale.look().seats)
        query = """
            select seat from seats where event_id = %s and seat = any (%s) and state = 'free'
            order by seat for update"""
        wanted = [seats[pick % len(seats)] for pick in locked]
        rows = self.beside.execute(query, [sale.theatre.event, wanted]).fetchall()
        yield [row["seat"] for row in rows]
        self.beside.rollback()

    def check_rest(self) -> None:
        """Nobody waits who could be served."""
        for sale in self.sales:
            look, pending, lane = sale.look(), self.pending(sale), sale.theatre.lane()
            if lane["paused"] or pending >= (lane["in_flight_cap"] or NO_CAP):
                continue
            for entry in look.waiting():
                if entry.number not in sale.late:
                    assert pending, f"{entry} waits for nothing"
                    wish = sale.wishes[entry.number]
                    assert not look.free().can_meet(wish), f"{entry} is forgotten"

    def pending(self, sale: Sale) -> int:
        """Bookings in flight."""
        event = sale.theatre.event
        return sum(b.event_id == event and b.state in PENDING for b in read_bookings(self.conn))

    # Time

    def let_two_seconds_go_by(self) -> None:
        """Each lane looks for those who committed late, once."""
        self.conn.execute("update lane_state set low_water_reset_at = '2000-01-01'")
        self.two_seconds_late = True

    @given_one("held", "authorising")
    @step(
        chosen=st.lists(picks, min_size=1, max_size=5),
        seconds=st.sampled_from([1, 61]),
        limit=st.sampled_from([0, 1, 2, 100, 100]),
    )
    def deadlines_pass(self, chosen: list[int], seconds: int, limit: int) -> None:
        """And the clock ticks, or does not yet (limit 0)."""
        late = [booking.id for booking in some(self.those(["held", "authorising"]), chosen)]
        self.sales[0].theatre.overdue(*late, seconds=seconds)
        self.bookings = read_bookings(self.conn)
        if limit:
            self.expire(limit)

    def expire(self, limit: int) -> None:
        due = {b.id: "expired" for b in self.bookings if b.state == "held" and b.late}
        due |= {b.id: "expiring" for b in self.bookings if b.state == "authorising" and b.late
                and (b.late > 60 or b.payment not in ("intended", "unknown"))}  # fmt: skip
        expired, expiring = lanes.expire_holds(self.conn, limit)
        was = {b.id: b.state for b in self.bookings}
        now = {b.id: b.state for b in read_bookings(self.conn)}
        moved = {id: state for id, state in now.items() if state != was[id]}
        assert moved.items() <= due.items()
        assert len(moved) == expired + expiring == min(limit, len(due))

    # Buyers who pay

    def those(self, states: Sequence[str]) -> list[Booking]:
        return [booking for booking in self.bookings if booking.state in states]

    @given_one("held")
    @step(chosen=st.lists(picks, min_size=1, max_size=3), sent=st.booleans())
    def buyers_pay(self, chosen: list[int], sent: bool) -> None:
        self.start_payments(some(self.those(["held"]), chosen), sent=sent)

    def start_payments(self, held: list[Booking], *, sent: bool = True) -> None:
        for booking in held:
            if self.pay(booking) and sent:
                self.call_the_gateway(booking)

    def pay(self, booking: Booking) -> bool:
        query = """
            select outcome from start_payment(%(event_id)s, %(booking_id)s, %(buyer)s, 'pm_card',
                'http://usher.example')"""
        row = only(self.conn.execute(query, booking.key | {"buyer": booking.buyer}).fetchall())
        assert row["outcome"] == ("deadline_passed" if booking.late else "started")
        return not booking.late

    @given_one("held", "authorising", "expiring", "secured", "confirmed", "expired")
    @step(pick=picks)
    def gives_up(self, pick: int) -> None:
        candidates = [b for b in self.bookings if b.state not in ("cancelled", "failed")]
        booking = candidates[pick % len(candidates)]
        values = (booking.event_id, booking.id, booking.buyer)
        if booking.state in ("secured", "confirmed", "expired"):
            with pytest.raises(Conflict, match="cannot be cancelled"):
                bookings.cancel_booking(self.conn, *values)
        else:
            now = bookings.cancel_booking(self.conn, *values)
            assert now == ("cancelled" if booking.state == "held" else "expiring")

    @given_one("authorising", "expiring", "secured")
    @step(chosen=st.lists(picks, min_size=1, max_size=3))
    def workers_call_the_gateway(self, chosen: list[int]) -> None:
        for booking in some(self.those(["authorising", "expiring", "secured"]), chosen):
            self.call_the_gateway(booking)

    def call_the_gateway(self, booking: Booking) -> None:
        """A worker reads how far a booking is, and calls; what happens meanwhile it does not know.
        Where the task had ended because the buyer was asked for something, a notification came.
        """
        self.conn.execute(NOTIFY, booking.key)
        progress = payments.get_progress(self.conn, booking.event_id, booking.id)
        if progress.payment_state in ("intended", "unknown") and booking.state == "authorising":
            assert progress.payment_id is not None
            payments.mark_sent(self.conn, progress.payment_id)
        self.calls[booking.id] = progress

    @precondition(lambda self: bool(self.calls))
    @step(answers=st.lists(gateway_answers, min_size=1, max_size=4))
    def the_gateway_answers(self, answers: list[str]) -> None:
        self.answer_calls(answers)

    def answer_calls(self, answers: list[str]) -> None:
        for id, answer in zip(list(self.calls), answers, strict=False):
            self.settle(self.calls.pop(id), answer)

    def settle(self, read: PaymentProgress, answer: str) -> None:
        """As the saga does (tasks/bookings.py): if the booking has moved on, nothing is written."""
        if answer not in ANSWERS[read.booking_state]:
            answer = "captured" if read.booking_state == "secured" else "failed"
        before = payments.get_progress(self.conn, read.event_id, read.booking_id)
        with self.conn.transaction():
            done = record(self.conn, read, answer) and SETTLED[answer](self.conn, read)
            if not done:
                raise psycopg.Rollback
            if answer not in ("unknown", "authorised"):
                finish(self.conn, read)
        moved_on = (
            before.payment_id != read.payment_id or before.payment_state != read.payment_state
        )
        if not moved_on and before.booking_state == read.booking_state:
            assert done

    @step(moment=moments)
    def the_sale_goes_on(self, moment: Moment) -> None:
        self.live(moment)

    def live(self, moment: Moment) -> None:
        if moment.slow and self.joining_late is None:
            self.take_number(moment.slow)
        self.join_all(moment.crowd)
        self.drain(moment.batches[0], locked=moment.locked)
        self.end_late_join(True)
        if moment.change:
            self.change(self.sales[moment.sale], moment.change)
        for batch in moment.batches[1:]:
            self.drain(batch)
        self.bookings = read_bookings(self.conn)
        if held := self.those(["held"]):
            self.start_payments(some(held, moment.paying))
        self.answer_calls(moment.answers)
        self.bookings = read_bookings(self.conn)
        if moment.late and (held := self.those(["held"])):
            self.sales[0].theatre.overdue(*[booking.id for booking in some(held, moment.late)])
            self.bookings = read_bookings(self.conn)
            self.expire(100)

    # The organiser

    @step(sale=st.integers(0, 1), change=lane_changes | caps_per_buyer | blocks)
    def the_organiser_acts(self, sale: int, change: dict[str, Any]) -> None:
        self.change(self.sales[sale], change)

    def change(self, sale: Sale, change: dict[str, Any]) -> None:
        if "seats" in change:
            self.block(sale, **change)
        elif "seats_per_buyer" in change:
            sale.theatre.set_event(**change)
            sale.cap = change["seats_per_buyer"]
        else:
            events.change_lane(self.conn, None, sale.theatre.event, change)

    def block(self, sale: Sale, seats: list[int], block: bool) -> None:
        look = sale.look()
        candidates = [
            seat for seat, (_, _, state) in look.seats.items() if block or state == "blocked"
        ]
        if not candidates:
            return
        chosen = sorted({candidates[pick % len(candidates)] for pick in seats})
        guids = [f"seat-{seat}" for seat in chosen]
        taken = any(look.seats[seat][2] in ("held", "sold") for seat in chosen)
        try:
            events.block_seats(self.conn, None, sale.theatre.event, guids, block=block)
        except Conflict:
            assert taken
        else:
            assert not taken

    # What must hold after each step

    @invariant()
    def holds(self) -> None:
        self.sound = False
        self.bookings = read_bookings(self.conn)
        if self.sales:
            names = only(self.conn.execute(self.invariants_query).fetchall())["names"]
            assert not names, violations(self.conn)
            assert self.count_seats() == self.seats
        self.sound = True

    def count_seats(self) -> dict[int, int]:
        query = "select event_id, count(*) as seats from seats group by 1"
        return {row["event_id"]: row["seats"] for row in self.conn.execute(query).fetchall()}

    # The end

    def teardown(self) -> None:
        try:
            if self.sound:
                self.end_late_join(True)
                self.come_to_an_end()
        finally:
            self.late.rollback()
            self.beside.rollback()

    def come_to_an_end(self) -> None:
        """As the top of this file has it."""
        for sale in self.sales:
            self.change(sale, {"paused": False, "in_flight_cap": None})
            sale.late.clear()
        for _ in range(len(self.all_numbers()) + 2):
            self.let_two_seconds_go_by()
            for _ in range(1000):
                if not self.drain(2):
                    break
            else:
                raise AssertionError("the lanes never come to rest")
            self.holds()
            if not self.those(PENDING):
                break
            self.end_all_pending()
        assert not self.those(PENDING)
        for sale in self.sales:
            now = sale.look().entries
            assert now.keys() == sale.wishes.keys(), "an entry was lost"
            assert {e.state for e in now.values()} <= {"booked", "unavailable", "left"}

    def all_numbers(self) -> list[int]:
        return [number for sale in self.sales for number in sale.wishes]

    def end_all_pending(self) -> None:
        for booking in self.those(["authorising", "expiring", "secured"]):
            self.settle(payments.get_progress(self.conn, booking.event_id, booking.id), "failed")
        self.holds()
        self.sales[0].theatre.overdue(*[booking.id for booking in self.those(["held"])])
        self.holds()
        self.expire(limit=100)


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


# The saga, without its gateway

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


SETTLED: dict[str, Callable[[Conn, PaymentProgress], bool]] = {
    "authorised": payments.secure_booking,
    "captured": on_captured,
    "failed": on_failed,
    "requires_action": lambda conn, read: read.booking_state == "authorising",
    "unknown": lambda conn, read: True,
}


def finish(conn: Conn, read: PaymentProgress) -> None:
    """The task ends, unless it was told to run again meanwhile."""
    key = str(read.booking_id)
    conn.execute("delete from outbox where actor = 'advance' and key = %s and not again", [key])
    conn.execute("update outbox set again = false where actor = 'advance' and key = %s", [key])


@pytest.mark.timeout(600)
def test_histories(conn: Conn) -> None:
    conn.execute("set lock_timeout = '10 s'")  # a history that waits for itself
    with another(conn) as late, another(conn) as beside:
        histories = cast("type[Histories]", lambda: Histories(conn, late, beside))
        run_state_machine_as_test(histories, settings=bounded(examples=36, steps=8))


# Lanes share by weight


@dataclass
class Shares:
    """How much lanes were served, beyond each other, while both of a pair had people waiting.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996): over any such time the seats that two
    lanes got, each divided by its weight, differ by no more than one batch of each, so divided.
    """

    weights: dict[int, int]
    batch: int
    ahead: dict[tuple[int, int], list[float]] = field(default_factory=dict)

    def served(self, lane: int, seats: int, waiting: set[int]) -> None:
        """waiting: the lanes that had somebody waiting before."""
        assert lane in waiting
        for one, other in combinations(sorted(self.weights), 2):
            if not waiting >= {one, other}:
                self.ahead[one, other] = [0]
                continue
            ahead = self.ahead.setdefault((one, other), [0])
            sign = {one: 1, other: -1}.get(lane, 0)
            ahead.append(ahead[-1] + sign * seats / self.weights[lane])
            bound = self.batch / self.weights[one] + self.batch / self.weights[other]
            assert max(ahead) - min(ahead) <= bound + 1e-6, (
                f"lanes {one} and {other}: {self.weights}, {ahead}"
            )


comings = st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 1, 4, 15]))
"""Who comes to which lane, before a batch."""


def check_shares(conn: Conn, weights: list[int], batch: int, come: list[tuple[int, int]]) -> None:
    """Serve batches until nobody waits; before each of the first, some come."""
    theatres = [build_theatre(conn, {1: ["." * 60]}, prices={1: 0}) for _ in weights]
    shares = Shares({h.event: w for h, w in zip(theatres, weights, strict=True)}, batch)
    waiting: Counter[int] = Counter()
    for theatre, weight in zip(theatres, weights, strict=True):
        theatre.set_lane(weight=weight)
    for pick, people in come + [(0, 0)] * 1000:
        theatre = theatres[pick % len(theatres)]
        people = min(people, 60 - len(theatre.entries())) if people else 0
        for _ in range(people):
            theatre.enter()
        waiting[theatre.event] += people
        if not +waiting:
            continue
        lane = serve_next(conn, batch)
        assert lane is not None
        seats = min(batch, waiting[lane])
        shares.served(lane, seats, set(+waiting))
        waiting[lane] -= seats
    assert not +waiting


@bounded(examples=15, steps=1)
@given(
    st.lists(st.sampled_from([1, 2, 3, 7]), min_size=2, max_size=4),
    st.sampled_from([1, 2, 5]),
    st.lists(st.integers(1, 20), min_size=4, max_size=4),
)
def test_busy_lanes_share_by_weight(
    conn: Conn, weights: list[int], batch: int, crowds: list[int]
) -> None:
    with conn.transaction(force_rollback=True):
        check_shares(conn, weights, batch, list(enumerate(crowds)))


@bounded(examples=15, steps=1)
@example([1, 1], 1, [(0, 1), (1, 15), (1, 0), (1, 0), (1, 0), (0, 15)])
@given(
    st.lists(st.sampled_from([1, 2, 3, 7]), min_size=2, max_size=4),
    st.sampled_from([1, 2, 5]),
    st.lists(comings, max_size=40),
)
def test_lanes_share_by_weight_while_people_come_and_go(
    conn: Conn, weights: list[int], batch: int, come: list[tuple[int, int]]
) -> None:
    with conn.transaction(force_rollback=True):
        check_shares(conn, weights, batch, come)
