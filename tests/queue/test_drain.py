"""The drain decides entries in the order of their numbers, beside others, at a bounded cost."""

import threading

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.connections import Conn
from db.maintenance.invariants import violations
from db.queue import lanes
from tests.support.draining import FREE
from tests.support.theatre import Theatre, another, build_theatre, is_waited_for, serve_next
from tests.support.waiting import in_thread, wait_until
from tests.support.wishes import Model, Rows, Wish, sales

# Order


@pytest.mark.slow
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


@pytest.mark.slow
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


# Speed


@pytest.mark.slow
@pytest.mark.parametrize(("known", "table"), [(0, "bookings"), (50, "bookings"), (50, "entries")])
def test_a_batch_costs_the_same_with_few_and_with_many(conn: Conn, known: int, table: str) -> None:
    """In rows read; with plans and statistics from when few were there, or nobody."""
    theatre = build_theatre(conn, {1: ["." * 100] * 15})
    for growing in ("entries", "bookings"):
        conn.execute(f"alter table {growing} set (autovacuum_enabled = off)")
    theatre.enter_many(60 if known else 0, 1)
    theatre.drain(batch=50)
    conn.execute("vacuum analyze")
    theatre.enter_many(0 if known else 60, 1)
    few = rows_read_by_a_batch(theatre, 8)[table]
    theatre.enter_many(4000, 1)
    theatre.drain(batch=1000)
    assert rows_read_by_a_batch(theatre, 8)[table] <= 2 * few


@pytest.mark.slow
def test_a_large_batch_reads_what_it_decides(conn: Conn) -> None:
    """Neither the hall nor the queue, which a join in the order of keys reads from the front."""
    theatre = build_theatre(conn, {1: ["." * 100] * 60})
    theatre.enter_many(5000, 1)
    theatre.drain(batch=1000)
    conn.execute("vacuum analyze")
    batch = 500
    read = rows_read_by_a_batch(theatre, batch)
    assert read["seats"] <= 4 * batch, read
    assert read["entries"] <= 6 * batch, read


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
        where relname in ('entries', 'bookings', 'seats')"""
    return {row["relname"]: row["rows"] for row in conn.execute(query).fetchall()}
