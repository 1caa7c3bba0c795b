"""What keeps the drain from letting more buyers in than can be served."""

from uuid import uuid4

import pytest

from db.connections import Conn, one
from db.durable import outbox
from db.queue import entries, lanes
from tests.support.theatre import Theatre, build_theatre

FREE = {1: 0}


def go_away(theatre: Theatre) -> None:
    """The hall's gateway does not answer: its circuit opens."""
    theatre.conn.execute("select open_circuit(%s, null, 1000, 1000)", [theatre.gateway])


def test_lanes_that_need_a_gateway_wait_while_it_is_away(conn: Conn) -> None:
    paid, free = build_theatre(conn, {1: [".."]}), build_theatre(conn, {1: [".."]}, prices=FREE)
    go_away(paid)
    go_away(free)
    paid.enter()
    free.enter()
    free.serve()
    assert (paid.states(), free.states()) == (["waiting"], ["booked"])
    conn.execute("update gateway_circuits set retry_at = now()")
    conn.execute("select take_slots(%s, 'list', 20, 80, 0.25, 1, 5, 20, 1)", [paid.gateway])
    paid.serve()
    assert paid.states() == ["waiting"]  # a probe is under way
    conn.execute("select close_circuit(%s, 1)", [paid.gateway])
    paid.serve()
    assert paid.states() == ["booked"]


def test_the_end_of_a_sale_is_told_during_an_outage(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    go_away(theatre)
    theatre.enter()
    conn.execute("update events set state = 'closed'")
    theatre.serve()
    assert theatre.states() == ["unavailable"]


def test_a_saga_that_is_far_behind_stops_the_lanes_that_need_it(conn: Conn) -> None:
    paid, free = build_theatre(conn, {1: [".."]}), build_theatre(conn, {1: [".."]}, prices=FREE)
    paid.enter()
    free.enter()
    for key in "abc":
        conn.execute("select enqueue('advance', 'payments', %s, '{}', %s)", [key, paid.event])
    assert lanes.next_lane(conn, backlog=2) == free.event
    free.drain()
    assert lanes.next_lane(conn, backlog=2) is None
    assert lanes.next_lane(conn, backlog=3) == paid.event


@pytest.mark.faults("backlog")
def test_the_backlog_of_one_gateway_account_stops_no_other(conn: Conn) -> None:
    slow, quick = build_theatre(conn, {1: [".."]}), build_theatre(conn, {1: [".."]})
    quick.sell_through_own_account()
    slow.enter()
    quick.enter()
    for key in "abc":
        conn.execute("select enqueue('advance', 'payments', %s, '{}', %s)", [key, slow.event])
    assert lanes.next_lane(conn, backlog=2) == quick.event
    quick.drain()
    assert lanes.next_lane(conn, backlog=2) is None


def test_no_more_is_held_than_the_gateway_can_take_in_time(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["." * 10]})
    conn.execute("update events set hold_seconds = 20")
    for _ in range(6):
        theatre.enter()
    with conn.transaction():
        assert lanes.lock_lane(conn, theatre.event)
        assert lanes.drain(conn, theatre.event, 100, per_second=0.2).booked == 4
        assert lanes.drain(conn, theatre.event, 100, per_second=0.2).taken == 0
    assert theatre.lane()["rest_reason"] == "gateway"
    conn.execute("update lane_state set rest_until = 'infinity'")
    assert lanes.next_lane(conn) is None
    conn.execute("update lane_state set rest_until = clock_timestamp()")
    assert lanes.next_lane(conn) == theatre.event


def test_other_sales_through_the_same_gateway_count(conn: Conn) -> None:
    first, second = build_theatre(conn, {1: ["...."]}), build_theatre(conn, {1: ["...."]})
    conn.execute("update events set hold_seconds = 20, gateway_account_id = %s", [first.gateway])
    first.enter()
    first.enter()
    first.drain()
    for _ in range(3):
        second.enter()
    with conn.transaction():
        assert lanes.lock_lane(conn, second.event)
        assert lanes.drain(conn, second.event, 100, per_second=0.15).booked == 1


@pytest.mark.parametrize(
    "waits", ["deadline = now() + interval '2 d'", "deadline = now() - interval '2 d'"]
)
def test_who_waits_for_a_bank_or_has_long_to_pay_counts_for_nothing(conn: Conn, waits: str) -> None:
    """The gateway has nothing to do for them now."""
    theatre = build_theatre(conn, {1: ["." * 10]})
    conn.execute("update events set hold_seconds = 20")
    for _ in range(6):
        theatre.enter()
    with conn.transaction():
        assert lanes.lock_lane(conn, theatre.event)
        assert lanes.drain(conn, theatre.event, 100, per_second=0.2).booked == 4
        conn.execute(f"update bookings set {waits}".encode())
        assert lanes.drain(conn, theatre.event, 100, per_second=0.2).booked == 2


@pytest.mark.faults("H3")
def test_passes_that_keep_no_place_do_not_count_at_the_gateway(conn: Conn) -> None:
    """Their buyers have not come back for a minute: others get their turn at paying."""
    theatre = build_theatre(conn, {1: ["." * 10]})
    conn.execute("update events set hold_seconds = 20, pass_seconds = 600")
    for _ in range(8):
        theatre.enter()
    until = "now() + interval '%s s'"
    passes = "update entries set admission = true, state = 'admitted', pass_state = 'taken',"
    conn.execute(f"{passes} pass_until = {until % 590} where number <= 4".encode())
    with conn.transaction():
        assert lanes.lock_lane(conn, theatre.event)
        assert lanes.drain(conn, theatre.event, 100, per_second=0.2).booked == 0
        conn.execute(f"{passes} pass_until = {until % 530} where number <= 3".encode())
        assert lanes.drain(conn, theatre.event, 100, per_second=0.2).booked == 3


@pytest.mark.faults("backlog")
@pytest.mark.usefixtures("configured")
def test_payments_that_wait_for_others_of_their_address_are_no_backlog(conn: Conn) -> None:
    """No worker can help them; others are not kept from the sale because of them."""
    theatre = build_theatre(conn, {1: [".."]})
    theatre.enter()
    for key in "abc":
        conn.execute("select enqueue('advance', 'payments', %s, '{}', %s)", [key, theatre.event])
    assert lanes.next_lane(conn, backlog=2) is None
    ids, token = [row["id"] for row in conn.execute("select id from outbox")], uuid4()
    outbox.lease(conn, ids, token, 60, "a worker", alone=False)
    outbox.retry(conn, ids[:1], token, "others first", 0, counts=False, put_off=True)
    assert lanes.next_lane(conn, backlog=2) == theatre.event
    outbox.lease(conn, ids[:1], again := uuid4(), 60, "a worker", alone=False)
    outbox.retry(conn, ids[:1], again, "no slot", 0, counts=False)
    assert lanes.next_lane(conn, backlog=2) is None


def test_sales_through_one_gateway_take_turns(conn: Conn) -> None:
    """At its limit, too: none is starved for being the second by name."""
    first, second = build_theatre(conn, {1: ["." * 50]}), build_theatre(conn, {1: ["." * 50]})
    conn.execute("update events set hold_seconds = 10, gateway_account_id = %s", [first.gateway])
    for theatre in (first, second):
        for _ in range(20):
            theatre.enter()
    for _ in range(40):  # one place at a time comes free
        conn.execute("update lane_state set rest_until = now() where state = 'resting'")
        with conn.transaction():
            event = lanes.next_lane(conn)
            assert event is not None
            if lanes.drain(conn, event, 1, per_second=0.1).booked:
                continue
        conn.execute(
            "update bookings set state = 'cancelled', ended_at = now() where state = 'held'"
        )
    served = [theatre.states().count("booked") for theatre in (first, second)]
    assert abs(served[0] - served[1]) <= 2, served


def test_the_tail_is_told_though_a_wheelchair_place_is_free(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".w"]}, prices=FREE)
    for _ in range(30):
        theatre.enter()
    wheelchair = theatre.enter(accessible=1)
    theatre.drain(batch=2)
    assert theatre.states() == ["booked"] + ["unavailable"] * 20 + ["waiting"] * 10
    theatre.serve()
    assert theatre.states() == ["booked"] + ["unavailable"] * 29 + ["booked"]
    assert theatre.entries()[wheelchair].state == "booked"


@pytest.mark.parametrize(
    "kept_by",
    [
        "lanes set paused = true",
        "lane_state set state = 'waiting_for_seats', served_at = now()",
        "lane_state set state = 'resting', rest_until = 'infinity', rest_reason = 'rate',"
        " served_at = now()",
    ],
)
def test_the_end_is_told_whatever_kept_a_lane_waiting(conn: Conn, kept_by: str) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    theatre.enter()
    conn.execute(f"update {kept_by}")
    assert lanes.next_lane(conn) is None
    conn.execute("update events set state = 'closed'")
    theatre.serve()
    assert theatre.states() == ["unavailable"]


def test_free_tickets_need_no_gateway(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..."]}, prices=FREE)
    for _ in range(3):
        theatre.enter()
    with conn.transaction():
        assert lanes.lock_lane(conn, theatre.event)
        assert lanes.drain(conn, theatre.event, 100, per_second=0.0001).booked == 3


@pytest.mark.parametrize(("seconds_ago", "let_in"), [(0.6, 2), (60, 4)])
def test_the_admission_rate_lets_so_many_in_and_keeps_a_second(
    conn: Conn, seconds_ago: float, let_in: int
) -> None:
    theatre = build_theatre(conn, {1: ["." * 10]})
    for _ in range(8):
        theatre.enter()
    with conn.transaction():
        assert lanes.lock_lane(conn, theatre.event)
        theatre.set_lane(admission_rate=240)
        conn.execute(
            "update lane_state set credited_at = clock_timestamp() - make_interval(secs => %s)",
            [seconds_ago],
        )
        assert lanes.drain(conn, theatre.event, 100).booked == let_in
        conn.execute("update lane_state set admission_credit = 0, credited_at = clock_timestamp()")
        assert lanes.drain(conn, theatre.event, 100).booked == 0
    assert lanes.next_lane(conn) is None
    assert theatre.lane()["rest_reason"] == "rate"


def test_the_tail_is_shown_as_told_before_it_is_written(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]}, prices=FREE)
    for _ in range(20):
        theatre.enter()
    with conn.transaction():
        conn.execute("select start_queue_ending(%s, 'sold_out')", [theatre.event])
        conn.execute("select write_queue_ending(%s, 5)", [theatre.event])
        conn.execute("update lane_state set state = 'ending', served_at = now()")
    assert theatre.states().count("unavailable") == 5
    last = one(conn.execute("select * from entries order by number desc limit 1"))
    shown = entries.get_entry(conn, theatre.event, last["id"], last["buyer_id"])
    assert (shown["state"], shown["reason"]) == ("unavailable", "sold_out")
    late = theatre.enter()
    assert theatre.drain(batch=1).taken == 1
    assert theatre.states().count("unavailable") == 6
    theatre.serve(batch=2)
    assert theatre.states()[:20] == ["unavailable"] * 20
    assert theatre.entries()[late].state == "booked"
    assert conn.execute("select from queue_endings").fetchall() == []
