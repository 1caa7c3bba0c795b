"""Joining a queue: numbers, the idempotency key, and every reason not to let somebody in."""

from typing import Any

import pytest

from db.connections import Conn, only
from tests.support.halls import Hall, another, build_hall

JOIN = """
select * from join_queue(%(event)s, %(buyer)s, %(key)s, %(sha256)s, %(quantity)s, %(category)s,
    %(together)s, %(accessible)s, %(guids)s::text[], %(accept_terms)s)
"""
USUAL = {"buyer": 1, "key": "a", "sha256": b"1", "quantity": 2, "category": None, "together": True,
         "accessible": 0, "guids": None, "accept_terms": False}  # fmt: skip


@pytest.fixture
def hall(conn: Conn) -> Hall:
    return build_hall(conn, {1: ["....", "wk.."], 2: ["...."]})


def join(hall: Hall, conn: Conn | None = None, **wish: Any) -> dict[str, Any]:
    values = USUAL | {"event": hall.event} | wish
    return only((conn or hall.conn).execute(JOIN, values).fetchall())


def test_numbers_are_given_in_the_order_of_joining(hall: Hall) -> None:
    joined = [join(hall, buyer=buyer) for buyer in (1, 2, 3)]
    assert [row["outcome"] for row in joined] == ["joined"] * 3
    assert [row["number"] for row in joined] == [1, 2, 3]
    assert {row["state"] for row in joined} == {"waiting"}


def test_each_event_has_numbers_of_its_own(hall: Hall, conn: Conn) -> None:
    join(hall)
    assert join(build_hall(conn, {1: ["."]}))["number"] == 1


def test_the_same_request_again_is_answered_as_before(hall: Hall) -> None:
    first = join(hall)
    again = join(hall)
    assert again == first | {"outcome": "replayed"}
    assert hall.states() == ["waiting"]


def test_a_replay_tells_the_entry_as_it_is_now(hall: Hall) -> None:
    join(hall)
    hall.serve()
    hall.set_event(state="closed")
    assert (join(hall)["outcome"], join(hall)["state"]) == ("replayed", "booked")


def test_a_key_may_not_be_used_for_another_request(hall: Hall) -> None:
    join(hall)
    assert join(hall, sha256=b"2", quantity=3)["outcome"] == "key_reused"
    assert hall.states() == ["waiting"]


def test_a_key_is_one_buyers_own(hall: Hall) -> None:
    assert [join(hall, buyer=buyer)["outcome"] for buyer in (1, 2)] == ["joined"] * 2


def test_while_the_first_request_is_in_flight_the_second_is_told_at_once(hall: Hall) -> None:
    hall.conn.execute("set lock_timeout = '1ms'")
    with another(hall.conn) as first:
        assert join(hall, first)["outcome"] == "joined"
        assert join(hall)["outcome"] == "in_flight"
        assert join(hall, buyer=2)["outcome"] == "joined"
        first.commit()
    assert join(hall)["outcome"] == "replayed"


def test_who_waits_already_is_shown_that_entry(hall: Hall) -> None:
    waiting = join(hall)
    second = join(hall, key="b")
    assert second == waiting | {"outcome": "already_waiting"}


@pytest.mark.parametrize("state", ["standby", "booked", "left"])
def test_who_waits_no_more_may_join_again(hall: Hall, state: str) -> None:
    if state == "booked":
        hall.hold(buyer=1)
    else:
        hall.enter(buyer=1)
        hall.conn.execute(
            "update entries set state = %s, decided_at = case when %s then now() end",
            [state, state == "left"],
        )
    assert join(hall)["outcome"] == {"standby": "already_waiting"}.get(state, "joined")


def test_seats_that_a_buyer_has_count_towards_the_cap(hall: Hall) -> None:
    hall.set_event(seats_per_buyer=3)
    held = hall.hold(2, buyer=1)
    assert join(hall, quantity=2)["outcome"] == "over_cap"
    assert join(hall, quantity=1)["outcome"] == "joined"
    hall.expire(held)
    assert join(hall, buyer=2, quantity=4)["outcome"] == "over_cap"
    assert join(hall, buyer=2, quantity=3)["outcome"] == "joined"


def test_seats_that_came_back_no_longer_count(hall: Hall) -> None:
    hall.set_event(seats_per_buyer=2)
    held = hall.hold(2, buyer=1)
    assert join(hall)["outcome"] == "over_cap"
    hall.expire(held)
    assert join(hall)["outcome"] == "joined"


@pytest.mark.parametrize(
    ("guids", "outcome"),
    [
        (["seat-1", "seat-2"], "joined"),
        (["seat-1", "seat-99"], "unknown_seat"),
        (["seat-1", "seat-1"], "unknown_seat"),
        (["seat-1"], "unknown_seat"),
        (["seat-6", "seat-8"], "kept_seat"),
        (["seat-7", "seat-8"], "kept_seat"),
    ],
)
def test_seats_asked_for_by_name(hall: Hall, guids: list[str], outcome: str) -> None:
    assert join(hall, guids=guids)["outcome"] == outcome


def test_seats_asked_for_by_name_are_the_ones_that_are_held(hall: Hall) -> None:
    join(hall, guids=["seat-3", "seat-2"])
    hall.serve()
    assert hall.seats_of(1) == [2, 3]


def test_kept_seats_are_for_those_who_need_one(hall: Hall) -> None:
    assert join(hall, guids=["seat-6", "seat-7"], accessible=1)["outcome"] == "joined"
    hall.serve()
    assert hall.seats_of(1) == [6, 7]


def test_a_category_must_be_one_of_the_event(hall: Hall) -> None:
    assert join(hall, category=3)["outcome"] == "unknown_category"
    assert join(hall, category=2)["outcome"] == "joined"


@pytest.mark.parametrize(
    ("state", "opens", "closes", "outcome"),
    [
        ("draft", -60, 60, "no_event"),
        ("on_sale", -60, 60, "joined"),
        ("on_sale", 1, 60, "not_open"),
        ("on_sale", -60, 0, "over"),
        ("closed", -60, 60, "over"),
        ("cancelled", 1, 60, "over"),
    ],
)
def test_a_queue_is_open_by_the_databases_clock(
    hall: Hall, state: str, opens: int, closes: int, outcome: str
) -> None:
    hall.conn.execute(
        "update events set state = %s, on_sale_at = clock_timestamp() + make_interval(secs => %s),"
        " off_sale_at = clock_timestamp() + make_interval(secs => %s) where id = %s",
        [state, opens, closes, hall.event],
    )
    assert join(hall)["outcome"] == outcome


def test_an_event_that_does_not_exist_has_no_queue(hall: Hall) -> None:
    assert join(hall, event=999)["outcome"] == "no_event"


def test_terms_have_to_be_accepted_and_that_is_kept(hall: Hall) -> None:
    hall.set_event(terms="No refunds.")
    assert join(hall)["outcome"] == "terms"
    assert join(hall, accept_terms=True)["outcome"] == "joined"
    hall.serve()
    accepted = "select terms_accepted_at is not null as yes from bookings"
    assert only(hall.conn.execute(accepted).fetchall())["yes"]


def test_nothing_is_stored_for_who_was_not_let_in(hall: Hall) -> None:
    join(hall, category=3)
    assert hall.entries() == {}
    assert join(hall)["number"] == 1


def test_joining_touches_no_lane(hall: Hall) -> None:
    hall.conn.execute("set lock_timeout = '1ms'")
    with another(hall.conn) as drain:
        drain.execute("select from lane_state for update")
        assert join(hall)["outcome"] == "joined"
