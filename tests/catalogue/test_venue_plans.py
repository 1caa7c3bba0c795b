"""The plans in the repository, and those of real venues."""

import json
import math
import os
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from db.catalogue.seating import Plan, read_plan
from ops.plans.arena import arena
from ops.plans.theatre import PATH, as_text, theatre
from tests.support.drawings import Json, row_of, run_lengths, runs

# Our own halls


def test_the_theatre_in_the_repository_is_the_one_generated() -> None:
    assert PATH.read_text(encoding="utf-8") == as_text(theatre())


def test_the_theatre_is_what_it_is_said_to_be() -> None:
    plan = read_plan(PATH.read_bytes())
    assert 1150 <= len(plan.seats) <= 1250
    names = [category.name for category in plan.categories]
    assert names == ["Premium", "Standard", "Economy", "Restricted view"]
    assert {seat.category for seat in plan.seats} == {0, 1, 2, 3}
    assert {seat.zone for seat in plan.seats} == {"Stalls", "Circle", "Balcony"}
    assert "I" not in {seat.row for seat in plan.seats}
    assert all(seat.restricted == (seat.category == 3) for seat in plan.seats)
    assert (plan.seats[0].zone, plan.seats[0].row) == ("Stalls", "A")


def test_every_wheelchair_place_of_the_theatre_has_its_companion_beside_it() -> None:
    seats = {seat.seat: seat for seat in read_plan(PATH.read_bytes()).seats}
    places = [seat for seat in seats.values() if seat.accessible]
    assert len(places) >= 6
    for place in places:
        beside = [seats.get(place.seat - 1), seats.get(place.seat + 1)]
        assert sum(seat is not None and seat.companion for seat in beside) == 1


def test_the_stalls_have_odd_seats_left_and_even_seats_right_of_the_centre_aisle() -> None:
    plan = read_plan(PATH.read_bytes())
    stalls = [seat for seat in plan.seats if seat.zone == "Stalls"]
    assert all((seat.x < 700) == (int(seat.number) % 2 == 1) for seat in stalls)
    numbers = {(seat.row, seat.number): seat.seat for seat in stalls}
    assert abs(numbers["D", "1"] - numbers["D", "2"]) > 1  # the aisle
    assert abs(numbers["D", "1"] - numbers["D", "3"]) == 1


@pytest.mark.parametrize("seats", [1, 481, 10_000])
def test_an_arena_has_as_many_seats_as_asked_for(seats: int) -> None:
    assert len(read_plan(arena(seats)).seats) == seats


@pytest.mark.slow
def test_the_time_to_read_an_arena_grows_with_its_seats() -> None:
    """80,000 seats were read in 1.5 to 2.6 s of one processor."""
    times, plans = [], []
    for seats in (20_000, 80_000):
        source = json.dumps(arena(seats)).encode()
        start = time.process_time()
        plans.append(read_plan(source))
        times.append(time.process_time() - start)
    assert times[1] < 10 * times[0]
    assert len(plans[1].seats) == 80_000
    assert Counter(run_lengths(plans[1])) == {24: 3_333, 8: 1}


# Real halls


@pytest.fixture(scope="module")
def halls() -> dict[str, tuple[Json, Plan]]:
    folder = os.environ.get("USHER_PLANS")
    if not folder:
        pytest.skip("USHER_PLANS does not name a folder with real plans")
    sources = {path.stem: json.loads(path.read_bytes()) for path in Path(folder).glob("*.json")}
    return {name: (source, read_plan(source)) for name, source in sources.items()}


Halls = dict[str, tuple[Json, Plan]]


def hall(halls: Halls, name: str) -> Plan:
    if name not in halls:
        pytest.skip(f"USHER_PLANS has no {name}.json")
    return halls[name][1]


def test_every_seat_of_a_real_hall_is_numbered_once(halls: Halls) -> None:
    for source, plan in halls.values():
        assert Counter(list(row_of(source))) == Counter(seat.guid for seat in plan.seats)
        assert len({seat.seat for seat in plan.seats}) == len(plan.seats)


def test_neighbours_in_a_real_hall_are_next_to_each_other(halls: Halls) -> None:
    for source, plan in halls.values():
        rows = row_of(source)
        for before, seat in pairwise(plan.seats):
            if seat.seat == before.seat + 1:
                assert rows[before.guid] == rows[seat.guid]
                assert math.dist((before.x, before.y), (seat.x, seat.y)) < 75  # sky boxes are wide


def test_the_city_hall_is_cut_at_the_aisles_inside_its_rows(halls: Halls) -> None:
    plan = hall(halls, "cityhall")
    seats = {seat.number: seat.seat for seat in plan.seats}
    assert len(runs(plan)) == 68
    assert seats["2"] == seats["1"] + 1
    assert seats["41"] == seats["42"] + 1  # serpentine: row 2 is numbered from the right
    assert seats["22"] + 1 < seats["440"]  # the aisle in row 2


def test_the_stadium_is_cut_only_where_seats_are_missing(halls: Halls) -> None:
    plan = hall(halls, "metalist")
    assert len(plan.seats) == 39_616
    for before, seat in pairwise(plan.seats):
        if seat.seat == before.seat + 1:
            assert abs(int(seat.number) - int(before.number)) == 1


def test_the_stadium_is_read_in_two_seconds(halls: Halls) -> None:
    source = halls["metalist"][0] if "metalist" in halls else pytest.skip("no metalist.json")
    text = json.dumps(source).encode()
    start = time.process_time()
    read_plan(text)
    assert time.process_time() - start < 2.0


def test_the_dance_floor_of_the_club_is_one_run_once_it_is_marked(halls: Halls) -> None:
    hall(halls, "ticketland")
    source = json.loads(json.dumps(halls["ticketland"][0]))
    source["zones"][-1]["general_admission"] = True
    assert max(run_lengths(read_plan(source))) == 900
