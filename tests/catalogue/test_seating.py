"""Seats are numbered: neighbours consecutive, better seats first, whatever things are called."""

import math
import random
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.catalogue.seating import read_plan
from ops.plans.theatre import theatre
from tests.support.drawings import (
    Json,
    by_guid,
    line,
    plan_of,
    plans,
    row_of,
    run_lengths,
    runs,
    seat_at,
)

Point = tuple[float, float]

# Neighbours


def test_neighbours_are_consecutive_and_runs_leave_a_number_between() -> None:
    plan = read_plan(plan_of(line([0, 20, 40]), line([0, 20], y=30)))
    assert [(seat.guid, seat.seat) for seat in plan.seats] == [
        ("a0", 1),
        ("b0", 2),
        ("c0", 3),
        ("a30", 5),
        ("b30", 6),
    ]


def test_an_aisle_or_a_missing_seat_breaks_a_run() -> None:
    plan = read_plan(plan_of(line([0, 20, 40, 80, 100, 120, 140, 200, 220])))
    assert sorted(run_lengths(plan)) == [2, 3, 4]


def test_uneven_spacing_is_no_aisle() -> None:
    assert run_lengths(read_plan(plan_of(line([0, 20, 43, 60, 91, 110])))) == [6]


def test_gaps_in_the_numbers_are_no_aisle() -> None:
    numbers = ["1", "3", "5", "7", "7bis", "6", "4", "2"]
    row = [seat_at(number, 20 * i) for i, number in enumerate(numbers)]
    assert runs(read_plan(plan_of(row))) == [numbers]


def test_odd_and_even_sides_listed_one_after_the_other_are_walked_across() -> None:
    odd = [seat_at(str(n), -10 * n) for n in (1, 3, 5, 7)]
    even = [seat_at(str(n), 10 * n - 10) for n in (2, 4, 6, 8)]
    assert runs(read_plan(plan_of(odd + even))) == [["7", "5", "3", "1", "2", "4", "6", "8"]]


def test_serpentine_numbers_run_from_left_to_right_in_every_row() -> None:
    rows = [
        [seat_at(str(n), 20 * n, 0) for n in range(1, 5)],
        [seat_at(str(n), 20 * (9 - n), 30) for n in range(5, 9)],
    ]
    assert runs(read_plan(plan_of(*rows))) == [["1", "2", "3", "4"], ["8", "7", "6", "5"]]


def test_a_row_listed_from_the_right_is_cut_at_the_same_aisle() -> None:
    row = line([0, 20, 40, 60, 120])
    assert runs(read_plan(plan_of(row[::-1]))) == runs(read_plan(plan_of(row)))


@pytest.mark.faults("F5")
def test_a_run_goes_on_where_a_price_ends() -> None:
    row = line([0, 20, 40, 60, 80])
    row[2]["category"] = "Other"
    assert runs(read_plan(plan_of(row))) == [["a0", "b0", "c0", "d0", "e0"]]


def test_nearer_runs_of_two_prices_are_better_in_both() -> None:
    rows = [line([0, 20, 40], y=y) for y in (90, 30)]
    for row in rows:
        row[1]["category"] = "Other"
    plan = read_plan(plan_of(*rows, focal_point={"x": 10, "y": 0}))
    assert runs(plan) == [["a30", "b30", "c30"], ["a90", "b90", "c90"]]


@pytest.mark.faults("F21")
def test_standing_places_that_are_drawn_in_rows_are_one_run() -> None:
    source = plan_of(line([0, 20, 40]), line([0, 20, 40], y=30), line([0, 20, 40], y=60))
    source["zones"][0]["general_admission"] = True
    assert run_lengths(read_plan(source)) == [9]


def test_standing_places_of_two_areas_are_two_runs() -> None:
    source = plan_of(line([0, 20, 40]), line([0, 20, 40], y=30))
    source["zones"][0]["general_admission"] = True
    source["zones"] += [{"rows": [{"seats": line([0, 20], y=90)}], "general_admission": True}]
    assert sorted(run_lengths(read_plan(source))) == [2, 6]


def test_an_accessible_seat_stays_beside_its_neighbours() -> None:
    row = line([0, 20, 40])
    row[1]["accessible"] = True
    assert run_lengths(read_plan(plan_of(row))) == [3]


def test_zones_and_rows_of_one_name_are_not_mixed() -> None:
    source = plan_of(line([0, 20]))
    other = plan_of([seat_at("c", 40), seat_at("d", 60)])
    source["zones"] += other["zones"]
    assert runs(read_plan(source)) == [["a0", "b0"], ["c", "d"]]


def test_two_seats_on_one_point_are_neighbours() -> None:
    assert run_lengths(read_plan(plan_of(line([0, 0, 20, 20, 40, 60])))) == [6]
    assert run_lengths(read_plan(plan_of(line([0, 0, 20]), line([0, 0, 20], y=30)))) == [3, 3]
    assert run_lengths(read_plan(plan_of(line([0, 0, 20, 20, 20, 40, 40, 40])))) == [8]


def test_a_row_on_one_point_or_without_positions_follows_the_file() -> None:
    unplaced = [{"seat_guid": guid, "category": "Any"} for guid in "zyx"]
    partly = [seat_at("u", 500), {"seat_guid": "t", "category": "Any"}, seat_at("s", 0)]
    point = [seat_at(guid, 7, 7) for guid in "cab"]
    assert runs(read_plan(plan_of(unplaced, partly, point))) == [
        ["z", "y", "x"],
        ["u", "t", "s"],
        ["c", "a", "b"],
    ]


def test_two_seats_alone_are_judged_by_the_steps_of_their_zone() -> None:
    rows = [line([0, 20, 40, 60]), line([0, 20], y=30), line([0, 40], y=60)]
    assert run_lengths(read_plan(plan_of(*rows))) == [4, 2, 1, 1]


def test_wide_chairs_are_neighbours_but_seats_across_the_hall_are_not() -> None:
    rows = [line([20.0 * i for i in range(20)], y=y) for y in (0, 30)]
    rows += [line([0, 35, 70, 105], y=60), line([0, 300, 600, 900], y=90)]
    assert sorted(run_lengths(read_plan(plan_of(*rows)))) == [1, 1, 1, 1, 4, 20, 20]


@pytest.mark.parametrize(("dx", "dy", "lines"), [(20, 50, [5] * 4), (50, 20, [4] * 5)])
def test_a_block_drawn_as_one_row_is_cut_into_its_lines(
    dx: float, dy: float, lines: list[int]
) -> None:
    block = [seat_at(f"{x} {y}", dx * x, dy * y) for x in range(5) for y in range(4)]
    random.Random(1).shuffle(block)
    assert run_lengths(read_plan(plan_of(block))) == lines


def test_standing_places_are_one_run_without_numbers() -> None:
    places = line([0, 500, 20, 20, 900])
    places[1]["category"] = "Other"
    source = plan_of(places)
    source["zones"][0]["general_admission"] = True
    plan = read_plan(source)
    assert runs(plan) == [["a0", "c0", "d0", "e0"], ["b0"]]
    assert {(s.number, s.centre, s.general_admission) for s in plan.seats} == {("", 0, True)}


def test_a_row_overrules_its_zone_on_general_admission() -> None:
    source = plan_of(line([0, 20, 400]), line([0, 20, 400], y=30))
    source["zones"][0]["general_admission"] = True
    source["zones"][0]["rows"][0]["general_admission"] = False
    assert sorted(run_lengths(read_plan(source))) == [1, 2, 3]


def arc(degrees: float, seats: int, turned: float = 0) -> list[Point]:
    """Places on an arc of radius 200, in order."""
    angles = [math.radians(turned + degrees * i / (seats - 1)) for i in range(seats)]
    return [(200 * math.cos(angle), 200 * math.sin(angle)) for angle in angles]


CORNER = [(0.0, 20.0 * y) for y in range(8, 0, -1)] + [(20.0 * x, 0.0) for x in range(9)]
U_SHAPE = CORNER + [(180.0, 20.0 * y) for y in range(1, 19)]


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(arc(40, 20), id="shallow"),
        pytest.param(arc(110, 30), id="deep"),
        pytest.param(arc(200, 40), id="horseshoe"),
        pytest.param(arc(300, 50), id="nearly round"),
        pytest.param(arc(95, 24, -2.5), id="aslant"),
        pytest.param(CORNER, id="round a corner"),
        pytest.param(U_SHAPE, id="a long U"),
    ],
)
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_curved_rows_are_walked_from_end_to_end(points: list[Point], shuffle: int) -> None:
    row = [seat_at(str(i), x, y) for i, (x, y) in enumerate(points)]
    random.Random(shuffle).shuffle(row)
    (run,) = runs(read_plan(plan_of(row)))
    in_order = [str(i) for i in range(len(points))]
    assert run in (in_order, in_order[::-1])


# Quality


def test_of_a_plan_that_is_not_drawn_the_file_says_what_is_better() -> None:
    rows = [[{"seat_guid": f"{n}{c}", "category": "Any"} for c in "ab"] for n in (1, 2)]
    assert runs(read_plan(plan_of(*rows))) == [["1a", "1b"], ["2a", "2b"]]


def test_with_a_focus_the_nearer_run_is_better() -> None:
    rows = [line([0, 20], y=90), line([0, 20], y=30), line([500, 520], y=0)]
    plan = read_plan(plan_of(*rows, focal_point={"x": 10, "y": 0}))
    assert runs(plan) == [["a30", "b30"], ["a90", "b90"], ["a0", "b0"]]


def test_the_middle_block_of_a_row_is_better_than_its_sides() -> None:
    xs: list[float] = [0, 20, 80, 100, 120, 180, 200]
    assert runs(read_plan(plan_of(line(xs)))) == [["c0", "d0", "e0"], ["a0", "b0"], ["f0", "g0"]]


def test_a_category_has_its_numbers_together() -> None:
    rows = [line([0, 20], y=y, category=c) for y, c in ((0, "A"), (30, "B"), (60, "A"))]
    assert [seat.category for seat in read_plan(plan_of(*rows)).seats] == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("seats", "centres"),
    [(1, [0]), (2, [0, 0]), (4, [-1, 0, 0, 1]), (5, [-2, -1, 0, 1, 2])],
)
def test_centre_counts_seats_from_the_middle_of_the_row(seats: int, centres: list[int]) -> None:
    plan = read_plan(plan_of(line([20.0 * i for i in range(seats)])))
    assert [seat.centre for seat in plan.seats] == centres


def test_centre_is_of_the_whole_row_across_aisles() -> None:
    seats = by_guid(read_plan(plan_of(line([0, 20, 80, 100, 160]))))
    assert [seats[guid].centre for guid in ("a0", "b0", "c0", "d0", "e0")] == [-2, -1, 0, 1, 2]


# Properties


@pytest.mark.slow
@given(plans())
@settings(max_examples=150, deadline=None)
def test_every_seat_is_numbered_exactly_once_from_one(source: Json) -> None:
    plan = read_plan(source)
    rows = row_of(source)
    assert Counter(seat.guid for seat in plan.seats) == Counter(list(rows))
    numbers = [seat.seat for seat in plan.seats]
    assert numbers[0] == 1
    assert all(after - before in (1, 2) for before, after in pairwise(numbers))


@pytest.mark.slow
@given(plans())
@settings(max_examples=150, deadline=None)
def test_consecutive_seats_share_zone_and_row_or_stand(source: Json) -> None:
    rows = row_of(source)
    for before, seat in pairwise(read_plan(source).seats):
        if seat.seat == before.seat + 1 and not seat.general_admission:
            assert rows[before.guid] == rows[seat.guid]
        elif seat.seat == before.seat + 1:
            assert rows[before.guid][0] == rows[seat.guid][0]
            assert (before.category, before.general_admission) == (seat.category, True)


@pytest.mark.slow
@given(plans())
@settings(max_examples=150, deadline=None)
def test_standing_places_of_an_area_and_category_are_never_parted(source: Json) -> None:
    rows = row_of(source)
    found: dict[Any, list[int]] = defaultdict(list)
    for seat in read_plan(source).seats:
        if seat.general_admission:
            found[rows[seat.guid][0], seat.category].append(seat.seat)
    for numbers in found.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.2, 2.0, 3.5]), min_size=6, max_size=40),
    st.floats(0, 360),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_a_straight_row_is_cut_exactly_at_its_aisles(
    steps: list[float], turned: float, shuffler: random.Random
) -> None:
    steps = [1.0] * (len(steps) + 1) + steps  # the usual step is usual
    along = [sum(steps[:i]) * 20 for i in range(len(steps) + 1)]
    dx, dy = math.cos(math.radians(turned)), math.sin(math.radians(turned))
    row = [seat_at(str(i), a * dx, a * dy) for i, a in enumerate(along)]
    shuffler.shuffle(row)
    seats = by_guid(read_plan(plan_of(row)))
    for i, step in enumerate(steps):
        distance = abs(seats[str(i)].seat - seats[str(i + 1)].seat)
        assert (distance == 1) == (step < 1.6)


# Again


@pytest.mark.slow
@given(plans(), st.floats(-500, 500))
@settings(max_examples=100, deadline=None)
def test_it_gives_the_same_numbers_whatever_things_are_called(source: Json, moved: float) -> None:
    source.setdefault("focal_point", {"x": 50, "y": -100})  # without one the rows' numbers count
    before = {seat.guid: seat.seat for seat in read_plan(source).seats}
    source |= {"name": "Renamed", "size": {"width": 9, "height": 9}}
    source["categories"] = [{"color": "#123", "name": c["name"]} for c in source["categories"]]
    for zone in source["zones"]:
        zone["name"] = "Renamed"
        for number, row in enumerate(zone["rows"]):
            row["row_number"] = str(100 - number)
            for seat in row["seats"]:
                seat["seat_number"] = "?"
    assert {seat.guid: seat.seat for seat in read_plan(source).seats} == before


def test_it_gives_the_same_numbers_to_shuffled_rows() -> None:
    source = theatre()
    before = read_plan(source).seats
    for zone in source["zones"]:
        for row in zone["rows"]:
            random.Random(7).shuffle(row["seats"])
    assert read_plan(source).seats == before
