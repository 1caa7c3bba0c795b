"""Joining a queue: numbers, the idempotency key, and every reason not to let somebody in."""

from typing import Any

import pytest

from db.connections import Conn, one
from tests.support.theatre import Theatre, another, build_theatre

JOIN = """
select * from join_queue(%(event)s, %(buyer)s, %(key)s, %(sha256)s, %(quantity)s, %(category)s,
    %(together)s, %(accessible)s, %(guids)s::text[], %(accept_terms)s)
"""
USUAL = {"buyer": 1, "key": "a", "sha256": b"1", "quantity": 2, "category": None, "together": True,
         "accessible": 0, "guids": None, "accept_terms": False}  # fmt: skip


@pytest.fixture
def theatre(conn: Conn) -> Theatre:
    return build_theatre(conn, {1: ["....", "wk.."], 2: ["...."]})


def join(theatre: Theatre, conn: Conn | None = None, **wish: Any) -> dict[str, Any]:
    values = USUAL | {"event": theatre.event} | wish
    return one((conn or theatre.conn).execute(JOIN, values))


def test_numbers_are_given_in_the_order_of_joining(theatre: Theatre) -> None:
    joined = [join(theatre, buyer=buyer) for buyer in (1, 2, 3)]
    assert [row["outcome"] for row in joined] == ["joined"] * 3
    assert [row["number"] for row in joined] == [1, 2, 3]
    assert {row["state"] for row in joined} == {"waiting"}


def test_each_event_has_numbers_of_its_own(theatre: Theatre, conn: Conn) -> None:
    join(theatre)
    assert join(build_theatre(conn, {1: ["."]}))["number"] == 1


def test_the_same_request_again_is_answered_as_before(theatre: Theatre) -> None:
    first = join(theatre)
    again = join(theatre)
    assert again == first | {"outcome": "replayed"}
    assert theatre.states() == ["waiting"]


def test_a_replay_tells_the_entry_as_it_is_now(theatre: Theatre) -> None:
    join(theatre)
    theatre.serve()
    theatre.set_event(state="closed")
    assert (join(theatre)["outcome"], join(theatre)["state"]) == ("replayed", "booked")


def test_a_key_may_not_be_used_for_another_request(theatre: Theatre) -> None:
    join(theatre)
    assert join(theatre, sha256=b"2", quantity=3)["outcome"] == "key_reused"
    assert theatre.states() == ["waiting"]


def test_a_key_is_one_buyers_own(theatre: Theatre) -> None:
    assert [join(theatre, buyer=buyer)["outcome"] for buyer in (1, 2)] == ["joined"] * 2


def test_while_the_first_request_is_in_flight_the_second_is_told_at_once(theatre: Theatre) -> None:
    theatre.conn.execute("set lock_timeout = '1ms'")
    with another(theatre.conn) as first:
        assert join(theatre, first)["outcome"] == "joined"
        assert join(theatre)["outcome"] == "in_flight"
        assert join(theatre, buyer=2)["outcome"] == "joined"
        first.commit()
    assert join(theatre)["outcome"] == "replayed"


def test_who_waits_already_is_shown_that_entry(theatre: Theatre) -> None:
    waiting = join(theatre)
    second = join(theatre, key="b")
    assert second == waiting | {"outcome": "already_waiting"}


def test_who_waits_already_takes_no_number(theatre: Theatre) -> None:
    """Others would seem to wait in front of those who come later."""
    join(theatre)
    for key in ("b", "c"):
        join(theatre, key=key)
    assert join(theatre, buyer=2)["number"] == 2


@pytest.mark.parametrize("state", ["standby", "booked", "left"])
def test_who_waits_no_more_may_join_again(theatre: Theatre, state: str) -> None:
    if state == "booked":
        theatre.book(buyer=1)
    else:
        theatre.enter(buyer=1)
        theatre.conn.execute(
            "update entries set state = %s, decided_at = case when %s then now() end",
            [state, state == "left"],
        )
    assert join(theatre)["outcome"] == {"standby": "already_waiting"}.get(state, "joined")


def test_seats_that_a_buyer_has_count_towards_the_cap(theatre: Theatre) -> None:
    theatre.set_event(seats_per_buyer=3)
    held = theatre.book(2, buyer=1)
    assert join(theatre, quantity=2)["outcome"] == "over_cap"
    assert join(theatre, quantity=1)["outcome"] == "joined"
    theatre.expire(held)
    assert join(theatre, buyer=2, quantity=4)["outcome"] == "over_cap"
    assert join(theatre, buyer=2, quantity=3)["outcome"] == "joined"


def test_seats_that_came_back_no_longer_count(theatre: Theatre) -> None:
    theatre.set_event(seats_per_buyer=2)
    held = theatre.book(2, buyer=1)
    assert join(theatre)["outcome"] == "over_cap"
    theatre.expire(held)
    assert join(theatre)["outcome"] == "joined"


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
def test_seats_asked_for_by_name(theatre: Theatre, guids: list[str], outcome: str) -> None:
    assert join(theatre, guids=guids)["outcome"] == outcome


def test_seats_asked_for_by_name_are_the_ones_that_are_held(theatre: Theatre) -> None:
    join(theatre, guids=["seat-3", "seat-2"])
    theatre.serve()
    assert theatre.seats_of(1) == [2, 3]


def test_kept_seats_are_for_those_who_need_one(theatre: Theatre) -> None:
    assert join(theatre, guids=["seat-6", "seat-7"], accessible=1)["outcome"] == "joined"
    theatre.serve()
    assert theatre.seats_of(1) == [6, 7]


def test_a_category_must_be_one_of_the_event(theatre: Theatre) -> None:
    assert join(theatre, category=3)["outcome"] == "unknown_category"
    assert join(theatre, category=2)["outcome"] == "joined"


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
    theatre: Theatre, state: str, opens: int, closes: int, outcome: str
) -> None:
    theatre.conn.execute(
        "update events set state = %s, on_sale_at = clock_timestamp() + make_interval(secs => %s),"
        " off_sale_at = clock_timestamp() + make_interval(secs => %s) where id = %s",
        [state, opens, closes, theatre.event],
    )
    assert join(theatre)["outcome"] == outcome


def test_an_event_that_does_not_exist_has_no_queue(theatre: Theatre) -> None:
    assert join(theatre, event=999)["outcome"] == "no_event"


def test_terms_have_to_be_accepted_and_that_is_kept(theatre: Theatre) -> None:
    theatre.set_event(terms="No refunds.")
    assert join(theatre)["outcome"] == "terms"
    assert join(theatre, accept_terms=True)["outcome"] == "joined"
    theatre.serve()
    accepted = "select terms_accepted_at is not null as yes from bookings"
    assert one(theatre.conn.execute(accepted))["yes"]


def test_nothing_is_stored_for_who_was_not_let_in(theatre: Theatre) -> None:
    join(theatre, category=3)
    assert theatre.entries() == {}
    assert join(theatre)["number"] == 1


def test_joining_touches_no_lane(theatre: Theatre) -> None:
    theatre.conn.execute("set lock_timeout = '1ms'")
    with another(theatre.conn) as drain:
        drain.execute("select from lane_state for update")
        assert join(theatre)["outcome"] == "joined"
