"""What organisers set about a lane, and what drains keep about it, each in a row of its own."""

import psycopg
import pytest

from db.catalogue import events
from db.connections import Conn, one
from db.queue import lanes
from tests.support.theatre import another, build_theatre, serve_next


@pytest.mark.parametrize(
    "changes",
    [{"paused": True}, {"weight": 2}, {"in_flight_cap": 1}, {"admission_rate": 10}],
    ids=lambda changes: next(iter(changes)),
)
def test_an_organiser_never_waits_for_a_drain(conn: Conn, changes: dict[str, object]) -> None:
    theatre = build_theatre(conn, {1: ["...."]})
    for _ in range(4):
        theatre.enter()
    with another(conn) as drain, conn.transaction():
        assert lanes.next_lane(drain) == theatre.event
        assert lanes.drain(drain, theatre.event, 2).booked == 2
        conn.execute("set local lock_timeout = '1 ms'")
        assert events.change_lane(conn, None, theatre.event, changes).items() >= changes.items()


def test_a_change_during_a_batch_counts_from_the_next_one(conn: Conn) -> None:
    """The lane waits at its cap; it was raised before the drain wrote down that it waits."""
    theatre = build_theatre(conn, {1: ["...."]})
    theatre.set_lane(in_flight_cap=1)
    theatre.enter()
    theatre.enter()
    theatre.serve(batch=1)
    assert theatre.lane()["state"] == "waiting_for_seats"
    with another(conn) as drain:
        assert lanes.lock_lane(drain, theatre.event)
        assert lanes.drain(drain, theatre.event, 1).booked == 0
        events.change_lane(conn, None, theatre.event, {"in_flight_cap": 2})
    theatre.serve(batch=1)
    assert theatre.states() == ["booked", "booked"]


def test_a_lane_that_rests_is_looked_at_when_something_else_is_set(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    theatre.set_lane(admission_rate=1)
    theatre.enter()
    conn.execute("delete from lane_wakes")
    conn.execute(
        "update lane_state set state = 'resting', rest_until = 'infinity', rest_reason = 'rate',"
        " served_at = now()"
    )
    assert lanes.next_lane(conn) is None
    theatre.set_lane(admission_rate=600)
    assert lanes.next_lane(conn) == theatre.event


def test_a_lane_at_its_cap_rests_before_it_looks_at_what_was_settled(conn: Conn) -> None:
    """Bookings are confirmed many times a second; a look at all of them costs as much as one."""
    theatre = build_theatre(conn, {1: ["." * 6]})
    theatre.set_lane(in_flight_cap=2)
    for _ in range(5):
        theatre.enter()
    assert serve_next(conn) == theatre.event
    assert theatre.lane()["state"] == "waiting_for_seats", "at once, without one more look"
    conn.execute("delete from lane_wakes")
    theatre.confirm(theatre.booking_of(1))
    assert lanes.next_lane(conn) is None
    conn.execute("update lane_state set rest_until = now() where rest_until < now() + '251 ms'")
    assert serve_next(conn) == theatre.event
    assert theatre.states() == ["booked"] * 3 + ["waiting"] * 2
    theatre.expire(theatre.booking_of(2))
    assert serve_next(conn) == theatre.event, "seats that came back do not wait"


def test_a_cap_that_free_bookings_do_not_use_stops_no_lane(conn: Conn) -> None:
    """They are confirmed at once, and nothing that is in flight would wake the lane."""
    theatre = build_theatre(conn, {1: ["." * 6]}, prices={1: 0})
    theatre.set_lane(in_flight_cap=2)
    for _ in range(5):
        theatre.enter()
    conn.execute("delete from lane_wakes")
    served = [serve_next(conn) for _ in range(4)]
    assert served == [theatre.event] * 3 + [None]
    assert theatre.states() == ["booked"] * 5


def test_a_lane_paused_during_a_batch_does_not_hold_the_others_time_back(conn: Conn) -> None:
    paused, other = (build_theatre(conn, {1: ["." * 40]}) for _ in range(2))
    for theatre in (paused, other):
        for _ in range(20):
            theatre.enter()
    with another(conn) as drain:
        assert lanes.next_lane(drain) == paused.event
        lanes.drain(drain, paused.event, 1)
        events.change_lane(conn, None, paused.event, {"paused": True})
    assert paused.lane()["state"] == "ready"
    for _ in range(10):
        assert serve_next(conn, batch=1) == other.event
    events.change_lane(conn, None, paused.event, {"paused": False})
    served = [serve_next(conn, batch=1) for _ in range(8)]
    assert served.count(other.event) in (3, 4), "the lane has no claim on what it missed"


@pytest.mark.parametrize(
    "nonsense",
    [
        "state = 'resting'",
        "state = 'ready', served_at = now(), rest_until = now(), rest_reason = 'rate'",
        "state = 'resting', served_at = now(), rest_until = now()",
        "state = 'resting', served_at = now(), rest_until = now(), rest_reason = 'mood'",
        "state = 'waiting_for_seats', served_at = now(), rest_until = now(), rest_reason = 'rate'",
        "state = 'waiting_for_seats'",
        "state = 'busy', served_at = now()",
        "virtual_time = -1",
    ],
)
def test_the_table_refuses_a_state_that_means_nothing(conn: Conn, nonsense: str) -> None:
    build_theatre(conn, {1: ["."]})
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(f"update lane_state set {nonsense}")


@pytest.mark.own_database
def test_a_batch_writes_the_lane_once_and_in_place(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 40]})
    for _ in range(20):
        theatre.enter()
    theatre.serve(batch=1)
    conn.execute("select pg_stat_force_next_flush()")
    query = """
        select n_tup_upd as written, n_tup_hot_upd as in_place from pg_stat_user_tables
        where relname = 'lane_state'"""
    found = conn.execute(query).fetchone()
    assert found and found["written"] == found["in_place"] == 21


def test_of_many_lanes_with_entries_one_is_asked(conn: Conn) -> None:
    """The relay looks many times a second, and a thousand events may be on sale."""
    theatres = [build_theatre(conn, {1: ["...."]}) for _ in range(8)]
    for theatre in theatres:
        theatre.enter()
        theatre.enter()
    with conn.transaction():
        before = looks_at_entries(conn)
        assert lanes.next_lane(conn) == theatres[0].event
        assert looks_at_entries(conn) - before == 1
    for _ in theatres:
        assert serve_next(conn, batch=1)
    with conn.transaction():
        before = looks_at_entries(conn)
        assert lanes.next_lane(conn) == theatres[0].event
        assert looks_at_entries(conn) - before <= 3


def looks_at_entries(conn: Conn) -> int:
    query = """
        select idx_scan + seq_scan as looks from pg_stat_xact_user_tables
        where relname = 'entries'"""
    return int(one(conn.execute(query))["looks"])
