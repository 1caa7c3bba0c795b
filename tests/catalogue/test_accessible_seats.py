"""Wheelchair users and companions get what is theirs; `free` means one thing everywhere."""

from typing import Any
from uuid import UUID

import pytest

from db.catalogue import availability
from db.connections import Conn
from tests.support.drawings import Json, plan_of, seat_at
from tests.support.theatre import Theatre, build_theatre
from tests.support.world import Caller, Sale, backstage

FOCUS = {"focal_point": {"x": 0, "y": -50}}

# Wheelchair users and their companions


def accessible_hall() -> Json:
    """A row of stalls with a wheelchair place and a companion's in categories of their own."""
    row = [seat_at(str(n), 20 * n, category="Parkett") for n in range(1, 7)]
    row[2]["category"], row[3]["category"] = "Rollstuhlplatz", "Begleitplatz"
    other = [seat_at(f"b{n}", 20 * n, 30, "Parkett") for n in range(1, 7)]
    return plan_of(row, other, **FOCUS)


@pytest.fixture
def wheels(hall: Sale) -> Sale:
    plan = hall.opera.post(f"/v1/venues/{hall.venue['id']}/plans", accessible_hall()).json
    prices = [{"category": n, "price": 1000} for n in (1, 2, 3)]
    return Sale(hall.opera, hall.venue, plan).add_event(categories=prices).open()


def booked(sale: Sale, buyer: Caller, conn: Conn, **wish: Any) -> list[str]:
    return sorted(item["guid"] for item in sale.book(buyer, conn, **wish)["items"])


def refused(sale: Sale, buyer: Caller, conn: Conn, **wish: Any) -> str:
    joined = sale.join(buyer, **wish)
    assert joined.status_code == 201, joined.text
    sale.drain(conn)
    return str(buyer.get(f"{sale.path}/queue/{joined.json['id']}").json["reason"])


@pytest.mark.faults("F5")
@pytest.mark.parametrize("category", [None, 1, 2, 3])
def test_a_wheelchair_user_and_a_companion_sit_side_by_side_across_categories(
    wheels: Sale, alice: Caller, conn: Conn, category: int | None
) -> None:
    wish = {"quantity": 2, "accessible": 1, "category": category}
    assert booked(wheels, alice, conn, **wish) == ["3", "4"]


@pytest.mark.faults("F15")
@pytest.mark.parametrize("category", [None, 1, 2])
def test_three_people_with_one_wheelchair_sit_together(
    wheels: Sale, alice: Caller, conn: Conn, category: int | None
) -> None:
    wish = {"quantity": 3, "accessible": 1, "category": category}
    assert booked(wheels, alice, conn, **wish) in (["2", "3", "4"], ["3", "4", "5"])


@pytest.mark.faults("F15")
def test_a_companion_does_not_take_a_second_wheelchair_place(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..wwk"], 2: ["...."]})
    theatre.enter(2, accessible=1)
    theatre.drain()
    assert theatre.draw() == "...11 ...."


@pytest.mark.faults("F14")
def test_a_companions_place_is_not_sold_alone(wheels: Sale, alice: Caller, conn: Conn) -> None:
    alone = wheels.join(alice, seats=["4"], accessible=1)
    assert (alone.status_code, alone.json["conflict_reason"]) == (422, "companion_seat")
    both = wheels.join(alice, seats=["4", "3"], accessible=0)
    assert (both.status_code, both.json["conflict_reason"]) == (422, "kept_seat")
    assert booked(wheels, alice, conn, seats=["4", "3"], accessible=1) == ["3", "4"]


@pytest.mark.faults("F14")
def test_more_wheelchair_places_than_wheelchairs_are_not_sold_by_name(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["wwk..."]})
    query = """
        select outcome from join_queue(%s, 1, 'k', '', 2, null, true, %s, %s, false)"""
    seats = ["seat-1", "seat-2"]
    asked = [conn.execute(query, [theatre.event, n, seats]).fetchone() for n in (1, 2)]
    assert [row["outcome"] for row in asked if row] == ["kept_seat", "joined"]


@pytest.mark.faults("F14")
def test_who_finds_no_wheelchair_place_is_not_told_of_neighbours(
    wheels: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    booking = wheels.book(alice, conn, quantity=1, accessible=1)
    backstage(wheels, conn).confirm(UUID(booking["id"]))
    assert refused(wheels, bob, conn, quantity=1, accessible=1) == "no_accessible_seats"


@pytest.mark.faults("F14")
def test_an_event_without_wheelchair_places_says_so_at_once(tosca: Sale, alice: Caller) -> None:
    answer = tosca.join(alice, quantity=1, accessible=1)
    assert (answer.status_code, answer.json["conflict_reason"]) == (422, "no_accessible_seats")


@pytest.mark.faults("F14")
def test_kept_places_are_released_before_the_start(wheels: Sale, alice: Caller, conn: Conn) -> None:
    query = "update events set accessible_release_seconds = %s where id = %s"
    release = "select release_kept()"
    conn.execute(query, [3600, wheels.id])
    conn.execute(release)
    assert wheels.join(alice, seats=["3"]).json["conflict_reason"] == "kept_seat"
    conn.execute(query, [72 * 3600, wheels.id])
    conn.execute(release)
    assert booked(wheels, alice, conn, seats=["3", "4"]) == ["3", "4"]
    changed = wheels.opera.get(wheels.path).json
    assert changed["accessible_released_at"] is not None
    assert (conn.execute(release).fetchone() or {}).get("release_kept") == 0


# One definition of free


@pytest.mark.faults("F9")
def test_a_queue_is_sold_out_when_only_kept_places_are_left(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["..wk"]}, prices={1: 0})
    theatre.book(2)
    theatre.enter(1)
    theatre.drain()
    assert theatre.states() == ["booked", "unavailable"]
    assert reading(theatre) == ("sold_out", True)
    theatre.book(2, accessible=1)
    assert reading(theatre) == ("sold_out", False)


@pytest.mark.faults("F9")
def test_availability_counts_what_anybody_may_have(
    wheels: Sale, anybody: Caller, alice: Caller, conn: Conn
) -> None:
    wheels.book(alice, conn, quantity=1, category=1)
    conn.execute("insert into allocations values (%s, 1, 'Fan club', 'web')", [wheels.id])
    conn.execute(
        "update seats set allocation = 1 where event_id = %s and (event_id, seat) in (select"
        " event_id, max(seat) from seats where event_id = %s and state = 'free' and not kept"
        " group by 1)",
        [wheels.id, wheels.id],
    )
    counts = anybody.get(f"{wheels.path}/availability").json
    of = {row.pop("category"): row for row in counts["categories"]}
    none = dict.fromkeys(("free", "kept", "accessible", "held", "sold", "blocked"), 0)
    assert of[1] == none | {"free": 8, "held": 1, "blocked": 1}
    assert of[2] == none | {"kept": 1, "accessible": 1}
    assert of[3] == none | {"kept": 1}
    assert len(counts["taken"]) == 2


def reading(theatre: Theatre) -> tuple[str, bool]:
    found = availability.get_queue(theatre.conn, theatre.event)
    return found["sale"], found["accessible_free"]
