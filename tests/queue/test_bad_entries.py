"""A batch that fails: the bad entry becomes a dead letter, and stalls no other."""

import psycopg
import pytest

from db.connections import Conn
from db.maintenance.invariants import violations
from tests.support.theatre import another, build_theatre, is_waited_for
from tests.support.waiting import in_thread, wait_until

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
