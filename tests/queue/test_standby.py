"""Entries on standby: while held seats might come back, and before later numbers."""

from dataclasses import replace

import pytest

from db.connections import Conn
from db.queue import lanes
from tests.support.draining import FREE
from tests.support.theatre import another, build_theatre, end_rests, is_waited_for, serve_next
from tests.support.waiting import in_thread, wait_until


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
    if end == "confirm":
        assert lanes.next_lane(conn) is None, "it rests: more may be settled soon"
        end_rests(conn)
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


def test_a_companion_takes_no_wheelchair_place_but_may_sit_elsewhere(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["ww", "..."]})
    beside = theatre.enter(2, accessible=1)
    theatre.serve()
    assert theatre.entries()[beside].reason == "not_together"
    apart = theatre.enter(2, accessible=1, together=False)
    theatre.serve()
    assert theatre.entries()[apart].state == "booked"
