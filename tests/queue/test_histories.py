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

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest
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
from db.connections import Conn, one
from db.maintenance.invariants import violations
from db.payments import payments
from db.payments.payments import PaymentProgress
from db.queue import entries, lanes
from db.runtime.errors import Conflict, InvalidRequest
from tests.support.histories import (
    ANSWERS,
    NOTIFY,
    Batch,
    Booking,
    Joining,
    Look,
    Moment,
    Sale,
    bounded,
    broken_invariants,
    empty,
    finish,
    on_captured,
    on_failed,
    read_bookings,
    record,
    some,
    wish_fields,
    wish_of,
)
from tests.support.theatre import another, build_theatre, end_rests
from tests.support.wishes import Rows, Wish

BUYERS = 14
PENDING = ("held", "authorising", "expiring", "secured")
NO_CAP = 10**6
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
        if wish.accessible and not any(kind == "w" for _, kind, _ in look.seats.values()):
            return "no_accessible_seats"
        kinds = [look.seats[seat][1] for seat in wish.seats or ()]
        if kinds.count("w") > wish.accessible or ("k" in kinds and not wish.accessible):
            return "kept_seat"
        if "k" in kinds and "w" not in kinds:
            return "companion_seat"
        return "already_waiting" if any(e.buyer == buyer for e in look.waiting()) else None

    @step(sale=st.integers(0, 1), pick=picks)
    def leaves(self, sale: int, pick: int) -> None:
        waiting = self.sales[sale].look().waiting()
        if waiting:
            entry = waiting[pick % len(waiting)]
            theatre = self.sales[sale].theatre
            query = "select id from entries where event_id = %s and number = %s"
            entry_id = one(self.conn.execute(query, [theatre.event, entry.number]))["id"]
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
        end_rests(self.conn)
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
        rows = self.conn.execute(query, [sale.theatre.event]).fetchall()
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
        row = one(self.conn.execute(query, booking.key | {"buyer": booking.buyer}))
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
            payments.mark_sent(self.conn, progress.event_id, progress.payment_id)
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
            names = one(self.conn.execute(self.invariants_query))["names"]
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


SETTLED: dict[str, Callable[[Conn, PaymentProgress], bool]] = {
    "authorised": payments.secure_booking,
    "captured": on_captured,
    "failed": on_failed,
    "requires_action": lambda conn, read: read.booking_state == "authorising",
    "unknown": lambda conn, read: True,
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [12, pytest.param(36, marks=pytest.mark.system)])
def test_histories(conn: Conn, examples: int) -> None:
    conn.execute("set lock_timeout = '10 s'")  # a history that waits for itself
    with another(conn) as late, another(conn) as beside:
        histories = cast("type[Histories]", lambda: Histories(conn, late, beside))
        run_state_machine_as_test(histories, settings=bounded(examples, steps=8))
