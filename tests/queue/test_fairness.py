"""Lanes share by weight; those that rest, are paused or at their cap keep no other lane waiting."""

import pytest

from db.connections import Conn
from db.queue import lanes
from tests.support.draining import FREE
from tests.support.theatre import another, build_theatre, serve_next

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


@pytest.mark.slow
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


# Speed


def test_a_sale_that_is_over_comes_to_rest_though_holds_are_settled_later(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    theatre.enter()
    theatre.drain()
    conn.execute("update events set state = 'closed'")
    conn.execute("insert into lane_wakes (event_id, kind) values (%s, 'settled')", [theatre.event])
    theatre.serve()
    assert lanes.next_lane(conn) is None


BUSY = "update lane_state set served_at = clock_timestamp() where served_at is not null"


@pytest.mark.slow
def test_a_second_drain_does_not_serve_a_lane_that_is_ahead(conn: Conn) -> None:
    """Else, with as many drains as busy lanes, weights would mean nothing."""
    heavy, light = (build_theatre(conn, {1: ["." * 200] * 10}, prices=FREE) for _ in range(2))
    conn.execute("update lanes set weight = 4 where event_id = %s", [heavy.event])
    for theatre in (heavy, light):
        theatre.enter_many(1500)
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
