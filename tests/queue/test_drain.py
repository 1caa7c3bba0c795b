"""The drain: entries are decided in number order, lanes served fairly, and nobody is passed by."""

import threading
from dataclasses import replace

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.connections import Conn
from db.maintenance.invariants import violations
from db.queue import lanes
from tests.support.theatre import Theatre, another, build_theatre, is_waited_for, serve_next
from tests.support.waiting import in_thread, wait_until
from tests.support.wishes import Model, Rows, Wish, sales

FREE = {1: 0, 2: 0, 3: 0}
"""Prices: nothing, so that bookings are confirmed at once and nothing is pending."""


# Order


@hypothesis_settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sales(), st.sampled_from([1, 2, 3, 100]), st.booleans())
def test_entries_are_decided_in_the_order_of_their_numbers(
    conn: Conn, sale: tuple[Rows, list[Wish], list[int]], batch: int, for_money: bool
) -> None:
    rows, wishes, _ = sale
    with conn.transaction(force_rollback=True):
        theatre = build_theatre(conn, rows, prices=None if for_money else FREE)
        for w in wishes:
            theatre.enter(
                w.quantity, w.category or None, together=w.together, accessible=w.accessible,
                seats=w.seats,
            )  # fmt: skip
        theatre.serve(batch)
        check_order(theatre, rows, wishes)
        assert violations(conn) == []


def check_order(theatre: Theatre, rows: Rows, wishes: list[Wish]) -> None:
    """Everybody got what they asked for, or could not have it when it was their turn."""
    model = Model.of(rows, [])
    for entry, wish in zip(theatre.entries().values(), wishes, strict=True):
        if entry.state == "booked":
            model.check(wish, entry.seats)
        else:
            assert not model.can_meet(wish), f"{entry} could be met"
    assert "waiting" not in theatre.states() or not model.free, "somebody was passed by"


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_lower_number_gets_the_seat_whatever_the_kind_of_wish(conn: Conn, batch: int) -> None:
    theatre = build_theatre(conn, {1: ["...."]}, prices=FREE)
    theatre.enter(seats=[2, 3])
    theatre.enter(2)
    theatre.enter(seats=[1])
    theatre.enter(2, together=False)
    theatre.enter(1)
    theatre.serve(batch)
    assert theatre.draw() == "3115"
    assert theatre.states() == ["booked", "unavailable", "booked", "unavailable", "booked"]


def test_who_commits_late_is_not_passed_by_later_batches(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["....."]})
    with another(conn) as late:
        number = theatre.enter(conn=late)
        theatre.book()
        late.commit()
    others = [theatre.enter() for _ in range(4)]
    theatre.drain(batch=1)
    assert theatre.seats_of(number) != []
    assert all(theatre.seats_of(other) == [] for other in others)


def test_who_commits_very_late_is_found(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["....."]})
    with another(conn) as late:
        number = theatre.enter(conn=late)
        for _ in range(3):
            theatre.book()
            forget_low_water(theatre)
        late.commit()
    theatre.serve()
    assert theatre.seats_of(number) != []


def forget_low_water(theatre: Theatre) -> None:
    """Two seconds go by."""
    theatre.conn.execute(
        "update lane_state set low_water_reset_at = low_water_reset_at - interval '2 s'"
    )


def test_the_low_water_mark_follows_two_seconds_behind(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["....."]})
    marks = []
    for _ in range(4):
        theatre.book()
        marks.append(theatre.lane()["low_water"])
        forget_low_water(theatre)
    assert marks == [0, 0, 2, 3]


# Locks


def test_seats_that_somebody_else_has_locked_are_not_waited_for(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    theatre.enter(2)
    with another(conn) as direct:
        direct.execute("select from seats where seat in (2, 3) for update")
        theatre.drain()
        assert theatre.draw() == "...."
        assert theatre.states() == ["standby"]  # locked is not sold
    theatre.serve()
    assert theatre.draw() in ("11..", ".11.", "..11")


def test_other_seats_are_chosen_instead_of_locked_ones(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...", "..."]})
    for _ in range(2):
        theatre.enter(2)
    with another(conn) as direct:
        direct.execute("select from seats where seat = 2 for update")
        theatre.drain()
        assert theatre.seats_of(1) in ([5, 6], [6, 7])
        assert theatre.states() == ["booked", "standby"]


def test_one_drain_at_a_time_serves_a_lane(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    theatre.enter()
    with another(conn) as first, another(conn) as second:
        assert lanes.next_lane(first) == theatre.event
        assert lanes.next_lane(second) is None
        assert not lanes.lock_lane(second, theatre.event)


def test_two_drains_serve_two_lanes(conn: Conn) -> None:
    theatres = [build_theatre(conn, {1: ["...."]}) for _ in range(2)]
    for theatre in theatres:
        theatre.enter()
    with another(conn) as first, another(conn) as second:
        events = [lanes.next_lane(first), lanes.next_lane(second)]
        assert sorted(filter(None, events)) == [theatre.event for theatre in theatres]
        for drain, event in zip([first, second], events, strict=True):
            assert event is not None
            assert lanes.drain(drain, event, 10).booked == 1
            drain.commit()


def test_drains_and_the_clock_at_once_break_nothing(conn: Conn) -> None:
    theatres = [build_theatre(conn, {1: ["." * 9] * 4, 2: ["." * 9] * 2}) for _ in range(2)]
    for theatre in theatres:
        for i in range(60):
            theatre.enter(1 + i % 3, 1 + i % 2, together=i % 5 > 0)
    conn.execute("update events set hold_seconds = 5")
    served = threading.Event()

    def drain() -> None:
        with another(conn) as own:
            own.autocommit = True
            while serve_next(own, batch=7) is not None:
                pass

    def expire() -> None:
        with another(conn) as own:
            own.autocommit = True
            while not served.is_set():
                own.execute(
                    "update bookings set deadline = now() - interval '1 s' where state = 'held'"
                    " and id in (select id from bookings order by random() limit 3)"
                )
                own.execute("select expire_holds(2)")

    with in_thread(expire):
        try:
            with in_thread(drain), in_thread(drain):
                pass
        finally:
            served.set()
    assert violations(conn) == []


def test_who_leaves_while_the_drain_reads_gets_nothing(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    leaver, stayer = theatre.enter(), theatre.enter()
    with another(conn) as leaving:
        leave(leaving, leaver)
        with in_thread(theatre.drain):
            wait_until(lambda: is_waited_for(leaving))
            leaving.commit()
    assert theatre.states() == ["left", "booked"]
    assert theatre.seats_of(stayer) != []


def leave(conn: Conn, number: int) -> None:
    conn.execute(
        "update entries set state = 'left', decided_at = now() where number = %s", [number]
    )


def test_standby_goes_on_after_somebody_left_while_the_drain_read(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."], 2: ["."]})
    held = theatre.book(2, 1)
    leaver, stayer = theatre.enter(1, 1), theatre.enter(1, 1)
    theatre.serve()
    assert theatre.states()[1:] == ["standby", "standby"]
    theatre.expire(held)
    with another(conn) as leaving:
        leave(leaving, leaver)
        with in_thread(lambda: theatre.drain(batch=1)):
            wait_until(lambda: is_waited_for(leaving))
            leaving.commit()
    theatre.serve(batch=1)
    assert theatre.seats_of(stayer) != []


# Standby


def test_standby_while_held_seats_might_come_back_then_before_later_numbers(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."], 2: ["...."]})
    held = theatre.book(2, 1)
    early = theatre.enter(2, 1)
    theatre.serve()
    assert theatre.states() == ["booked", "standby"]
    late = theatre.enter(2, 1)
    theatre.expire(held)
    theatre.serve()
    assert [theatre.entries()[number].state for number in (early, late)] == ["booked", "standby"]


def test_standby_ends_when_what_was_held_is_sold(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."], 2: ["...."]})
    held = theatre.book(2, 1)
    number = theatre.enter(2, 1)
    theatre.serve()
    theatre.confirm(held)
    theatre.serve()
    assert (theatre.entries()[number].state, theatre.entries()[number].reason) == (
        "unavailable",
        "sold_out",
    )


def test_standby_ends_when_its_category_is_sold_though_others_are_held(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."], 2: ["."], 3: ["."]})
    first, _ = theatre.book(1, 1), theatre.book(1, 2)
    theatre.enter(1, 1)
    theatre.enter(1, 2)
    theatre.serve()
    assert theatre.states()[2:] == ["standby", "standby"]
    theatre.confirm(first)
    theatre.serve()
    assert theatre.states()[2:] == ["unavailable", "standby"]


def test_what_is_settled_during_a_pass_is_not_forgotten(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."], 2: ["..."]})
    held = theatre.book(1, 1)
    theatre.enter(1, 1)
    theatre.serve()
    theatre.enter(1, 2)
    theatre.enter(1, 2)
    theatre.confirm(held)
    theatre.serve(batch=1)
    assert theatre.states()[1:] == ["unavailable", "booked", "booked"]


def test_a_lane_that_waits_looks_once_at_what_is_settled(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    first, _ = theatre.book(), theatre.book()
    theatre.enter()
    theatre.serve()
    theatre.confirm(first)
    theatre.serve()
    assert theatre.states()[2] == "waiting"
    assert lanes.next_lane(conn) is None


def test_a_busy_sale_comes_further_than_its_first_standby_entries(conn: Conn) -> None:
    """However often something is settled; only what is released begins again with them."""
    theatre = build_theatre(conn, {1: ["." * 9], 2: ["."]})
    held = [theatre.book(1, 1) for _ in range(9)]
    for _ in range(4):
        theatre.enter(1, 1)
    last = theatre.enter(1, 2)
    for booking in held[:8]:
        serve_next(conn, batch=1)
        theatre.confirm(booking)
    assert theatre.seats_of(last) != []
    assert theatre.states()[9:13] == ["standby"] * 4


def test_standby_is_not_read_again_for_what_changes_nothing(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."], 2: ["."]})
    first, _ = theatre.book(1, 1), theatre.book(1, 1)
    theatre.enter(1, 1)
    theatre.serve()
    theatre.confirm(first)
    assert lanes.next_lane(conn) == theatre.event
    assert theatre.drain().taken == 0
    assert lanes.next_lane(conn) is None


def test_seats_asked_for_by_name_are_waited_for_until_they_are_sold(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    held = theatre.book(seats=[2])
    number = theatre.enter(seats=[2, 3])
    theatre.serve()
    assert theatre.states()[1] == "standby"
    theatre.confirm(held)
    theatre.serve()
    assert (theatre.entries()[number].state, theatre.entries()[number].reason) == (
        "unavailable",
        "seats_taken",
    )


@pytest.mark.parametrize("why", ["blocked", "set apart"])
def test_seats_asked_for_by_name_that_are_not_for_sale_are_refused_at_once(
    conn: Conn, why: str
) -> None:
    theatre = build_theatre(conn, {1: [".x.."]})
    if why == "set apart":
        conn.execute("update seats set allocation = 1, state = 'free' where seat = 2")
    theatre.enter(seats=[1, 2])
    theatre.serve()
    assert theatre.states() == ["unavailable"]


def test_a_group_that_no_row_can_seat_is_told_so_at_once(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..", "..", ".."]})
    number = theatre.enter(3)
    theatre.serve()
    assert theatre.entries()[number].reason == "not_together"


def test_when_all_is_sold_everybody_is_told_in_one_go(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]}, prices=FREE)
    for _ in range(7):
        theatre.enter()
    theatre.drain(batch=3)
    assert theatre.states() == ["booked"] * 2 + ["unavailable"] * 5


def test_while_nothing_is_free_the_lane_waits_and_nobody_is_decided(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..."]})
    for _ in range(5):
        theatre.enter()
    assert theatre.drain(batch=4).waiting_for_seats
    assert theatre.states() == ["booked"] * 3 + ["waiting"] * 2
    assert lanes.next_lane(conn) is None


@pytest.mark.parametrize("end", ["expire", "confirm", "cancel"])
def test_a_lane_that_waits_wakes_up_when_a_held_seat_is_settled(conn: Conn, end: str) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    held = theatre.book()
    theatre.enter()
    theatre.serve()
    assert lanes.next_lane(conn) is None
    if end == "cancel":
        conn.execute("select cancel_booking(%s, %s, 1)", [theatre.event, held])
    else:
        getattr(theatre, end)(held)
    assert lanes.next_lane(conn) == theatre.event
    theatre.serve()
    assert theatre.states()[1] == {"confirm": "unavailable"}.get(end, "booked")


def test_who_is_being_served_is_never_beyond_somebody_who_waits(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..."]})
    for _ in range(5):
        theatre.enter()
    theatre.drain()
    assert theatre.lane()["now_serving"] == 3


def test_a_seat_that_comes_back_while_a_batch_is_decided_is_not_refused(conn: Conn) -> None:
    """The batch has chosen; then the seat comes back, before it is told to whom there is none."""
    theatre = build_theatre(conn, {1: ["."], 2: ["..."]}, prices={2: 0})
    held = theatre.book(1, 1)
    theatre.book(1, 2, buyer=77)
    number = theatre.enter(1, 1)
    theatre.enter(1, 2, buyer=77)
    with another(conn) as counting, another(conn) as clock:
        counting.execute("select from buyer_seats where buyer_id = 77 for update")
        with in_thread(theatre.drain):
            wait_until(lambda: is_waited_for(counting))
            replace(theatre, conn=clock).expire(held)
            clock.commit()
            counting.rollback()
    theatre.serve()
    assert theatre.seats_of(number) == [1]


# Fairness


def test_lanes_share_by_weight(conn: Conn) -> None:
    heavy, light = (build_theatre(conn, {1: ["." * 40]}) for _ in range(2))
    heavy.set_lane(weight=4)
    for theatre in (heavy, light):
        for _ in range(40):
            theatre.enter()
    served = [serve_next(conn, batch=1) for _ in range(40)]
    assert served.count(heavy.event) == 32
    assert all(served[i : i + 5].count(light.event) == 1 for i in range(0, 40, 5))


def test_a_lane_that_wakes_up_starts_at_the_time_of_the_others(conn: Conn) -> None:
    busy, idle = (build_theatre(conn, {1: ["." * 40]}) for _ in range(2))
    for _ in range(20):
        busy.enter()
    for _ in range(10):
        assert serve_next(conn, batch=1) == busy.event
    for _ in range(10):
        idle.enter()
    served = [serve_next(conn, batch=1) for _ in range(10)]
    assert served.count(idle.event) == served.count(busy.event) == 5


def test_the_time_never_falls_when_all_come_to_rest(conn: Conn) -> None:
    first, second = (build_theatre(conn, {1: ["." * 40]}) for _ in range(2))
    for _ in range(10):
        first.enter()
    first.serve(batch=1)
    second.enter()
    assert serve_next(conn, batch=1) == second.event
    assert second.lane()["virtual_time"] == 11


@pytest.mark.parametrize("rest", ["waits for held seats", "is paused", "is at its cap"])
def test_a_lane_that_rested_has_no_claim_on_what_it_missed(conn: Conn, rest: str) -> None:
    resting, busy, new = (build_theatre(conn, {1: ["." * 60]}) for _ in range(3))
    if rest == "waits for held seats":
        conn.execute("update seats set state = 'blocked' where event_id = %s and seat > 1",
                     [resting.event])  # fmt: skip
    if rest == "is at its cap":
        resting.set_lane(in_flight_cap=1)
    held = resting.book()
    for _ in range(50):
        resting.enter()
        busy.enter()
    serve_next(conn, batch=1)
    if rest == "is paused":
        resting.set_lane(paused=True)
    served = [serve_next(conn, batch=1) for _ in range(21)]
    assert served[1:] == [busy.event] * 20

    for _ in range(50):
        new.enter()
    served = [serve_next(conn, batch=1) for _ in range(20)]
    assert served.count(new.event) in (9, 10, 11)

    resting.expire(held)
    conn.execute("select block_seats(%s, null, array(select guid from plan_seats), false)",
                 [resting.event])  # fmt: skip
    resting.set_lane(paused=False, in_flight_cap=None)
    served = [serve_next(conn, batch=1) for _ in range(30)]
    assert served.count(resting.event) in (9, 10, 11)


def test_those_who_get_nothing_do_not_keep_other_lanes_waiting(conn: Conn) -> None:
    hopeless, other = (build_theatre(conn, {1: ["..", ".."]}) for _ in range(2))
    for _ in range(10):
        hopeless.enter(3)
        other.enter(1)
    served = [serve_next(conn, batch=1) for _ in range(8)]
    assert served.count(other.event) in (3, 4)


def test_paused_lanes_are_not_served(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    theatre.enter()
    theatre.set_lane(paused=True)
    assert lanes.next_lane(conn) is None
    theatre.set_lane(paused=False)
    assert lanes.next_lane(conn) == theatre.event


def test_no_more_than_the_cap_are_in_flight(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["......"]})
    theatre.set_lane(in_flight_cap=2)
    for _ in range(4):
        theatre.enter()
    theatre.serve()
    assert theatre.states() == ["booked", "booked", "waiting", "waiting"]
    theatre.confirm(theatre.booking_of(1))
    theatre.serve()
    assert theatre.states() == ["booked", "booked", "booked", "waiting"]


def test_when_the_sale_is_over_everybody_is_told(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    theatre.enter()
    conn.execute("update events set off_sale_at = now() where id = %s", [theatre.event])
    theatre.serve()
    assert theatre.entries()[1].reason == "sale_over"


# The cap on seats per buyer


def test_who_has_reached_the_cap_meanwhile_is_told(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 12]})
    theatre.book(6, buyer=7)
    theatre.enter(2, buyer=8)
    theatre.enter(3, buyer=7)
    theatre.enter(2, buyer=9)
    theatre.serve()
    assert theatre.states() == ["booked", "booked", "unavailable", "booked"]
    assert theatre.entries()[3].reason == "over_cap"


def test_the_counter_refuses_what_a_race_would_let_through(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 12]})
    theatre.book(1, buyer=7)
    theatre.enter(2, buyer=7)
    with another(conn) as direct:
        direct.execute("update buyer_seats set seats = 7 where buyer_id = 7")
        with (
            pytest.raises(psycopg.errors.CheckViolation, match="buyer_seats_cap"),
            in_thread(theatre.drain),
        ):
            wait_until(lambda: is_waited_for(direct))
            direct.commit()
    theatre.serve()
    assert theatre.entries()[2].reason == "over_cap"


# A batch that fails


@pytest.mark.usefixtures("configured")
def test_one_bad_entry_stalls_nobody_and_becomes_a_dead_letter(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 20]})
    for _ in range(6):
        theatre.enter()
    bad = theatre.enter(category=NO_CATEGORY)
    for _ in range(6):
        theatre.enter()
    serve_all()
    assert theatre.states() == ["booked"] * 6 + ["unavailable"] + ["booked"] * 6
    assert theatre.entries()[bad].reason == "error"
    assert dead_letters(conn) == [theatre.entries()[bad].buyer]
    assert violations(conn) == []


NO_CATEGORY = 9
"""Nothing stops such an entry but the failure of its batch."""


def serve_all() -> None:
    """As the actor does."""
    from tasks.drain import serve_one_lane  # it reads the settings, which `configured` makes

    for _ in range(100):
        if not serve_one_lane():
            return
    raise AssertionError("the lanes never come to rest")


def dead_letters(conn: Conn) -> list[int]:
    """Their buyers."""
    rows = conn.execute("select buyer_id from dead_letters order by id").fetchall()
    return [row["buyer_id"] for row in rows]


@pytest.mark.usefixtures("configured")
def test_two_bad_entries_are_both_dead_letters(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 20]})
    for _ in range(2):
        theatre.enter(category=NO_CATEGORY)
        theatre.enter()
    serve_all()
    assert theatre.states() == ["unavailable", "booked"] * 2
    assert len(dead_letters(conn)) == 2


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("woken", [False, True])
def test_who_is_on_standby_is_no_dead_letter_for_a_later_entry(conn: Conn, woken: bool) -> None:
    theatre = build_theatre(conn, {1: [".."], 2: ["..."]})
    first, second = theatre.book(1, 1), theatre.book(1, 1)
    for _ in range(2):
        theatre.enter(2, 1)
    serve_all()
    assert theatre.states()[2:] == ["standby", "standby"]
    theatre.enter(category=NO_CATEGORY)
    theatre.enter(1, 2)
    if woken:
        theatre.expire(first, second)
    serve_all()
    waited = ["booked", "standby"] if woken else ["standby", "standby"]
    assert theatre.states()[2:] == [*waited, "unavailable", "booked"]


@pytest.mark.usefixtures("configured")
def test_a_lost_race_for_the_cap_is_no_dead_letter(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 12]})
    theatre.book(1, buyer=7)
    theatre.enter(2, buyer=7)
    theatre.enter(1, buyer=8)
    with another(conn) as direct:
        direct.execute("update buyer_seats set seats = 7 where buyer_id = 7")
        with in_thread(serve_all):
            wait_until(lambda: is_waited_for(direct))
            direct.commit()
    assert theatre.states() == ["booked", "unavailable", "booked"]
    assert theatre.entries()[2].reason == "over_cap"
    assert dead_letters(conn) == []


# Speed


@pytest.mark.parametrize(("known", "table"), [(0, "bookings"), (50, "bookings"), (50, "entries")])
def test_a_batch_costs_the_same_with_few_and_with_many(conn: Conn, known: int, table: str) -> None:
    """In rows read; with plans and statistics from when few were there, or nobody."""
    theatre = build_theatre(conn, {1: ["." * 100] * 15})
    for growing in ("entries", "bookings"):
        conn.execute(f"alter table {growing} set (autovacuum_enabled = off)")
    enter_many(theatre, 60 if known else 0)
    theatre.drain(batch=50)
    conn.execute("vacuum analyze")
    enter_many(theatre, 0 if known else 60)
    few = rows_read_by_a_batch(theatre, 8)[table]
    enter_many(theatre, 4000)
    theatre.drain(batch=1000)
    assert rows_read_by_a_batch(theatre, 8)[table] <= 2 * few


def enter_many(theatre: Theatre, people: int) -> None:
    theatre.conn.execute(
        "insert into entries (event_id, number, organisation_id, buyer_id, quantity, category,"
        " idempotency_key, request_sha256) select e.id, n, 1, n, 1, 1, n::text, '' from events e,"
        " lateral (select nextval('entry_numbers_' || e.id) as n from generate_series(1, %s)) s",
        [people],
    )


def rows_read_by_a_batch(theatre: Theatre, batch: int) -> dict[str, int]:
    """By table."""
    with theatre.conn.transaction():
        assert lanes.lock_lane(theatre.conn, theatre.event)
        before = rows_read(theatre.conn)
        assert lanes.drain(theatre.conn, theatre.event, batch).booked == batch
        return {table: count - before[table] for table, count in rows_read(theatre.conn).items()}


def rows_read(conn: Conn) -> dict[str, int]:
    """By table, since this connection last told the server's statistics, which it does between
    transactions."""
    query = """
        select relname, idx_tup_fetch + seq_tup_read as rows from pg_stat_xact_user_tables
        where relname in ('entries', 'bookings')"""
    return {row["relname"]: row["rows"] for row in conn.execute(query).fetchall()}


def test_a_sale_that_is_over_comes_to_rest_though_holds_are_settled_later(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    theatre.enter()
    theatre.drain()
    conn.execute("update events set state = 'closed'")
    conn.execute("insert into lane_wakes (event_id, kind) values (%s, 'settled')", [theatre.event])
    theatre.serve()
    assert lanes.next_lane(conn) is None


BUSY = "update lane_state set served_at = clock_timestamp() where served_at is not null"


def test_a_second_drain_does_not_serve_a_lane_that_is_ahead(conn: Conn) -> None:
    """Else, with as many drains as busy lanes, weights would mean nothing."""
    heavy, light = (build_theatre(conn, {1: ["." * 200] * 10}, prices=FREE) for _ in range(2))
    conn.execute("update lanes set weight = 4 where event_id = %s", [heavy.event])
    for theatre in (heavy, light):
        for _ in range(1500):
            theatre.enter()
    served = {heavy.event: 0, light.event: 0}
    for _ in range(30):
        # A drain that takes longer than a second counts as hanging: here the machine is only busy.
        conn.execute(BUSY)
        with another(conn) as first, another(conn) as second:
            for drain in (first, second):
                event = lanes.next_lane(drain, ahead=50)
                if event is not None:
                    served[event] += lanes.drain(drain, event, 50).seats_held
            first.commit()
            second.commit()
    assert 3 < served[heavy.event] / served[light.event] < 5
