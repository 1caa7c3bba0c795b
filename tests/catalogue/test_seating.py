"""Seating plans: what is read, what is refused and why, and which seats count as neighbours.

Real halls are tried too where USHER_PLANS names a folder of plans.
"""

import json
import math
import os
import random
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.catalogue.seating import MAX_ERRORS, Plan, PlanError, Seat, keep_numbers, read_plan
from ops.plans.arena import arena
from ops.plans.theatre import PATH, as_text, theatre

Json = dict[str, Any]
Point = tuple[float, float]


def seat_at(guid: str, x: float, y: float = 0, category: str = "Any", **more: Any) -> Json:
    position = {"x": x, "y": y}
    return {
        "seat_guid": guid,
        "seat_number": guid,
        "category": category,
        "position": position,
    } | more


def plan_of(*rows: list[Any], **more: Any) -> Json:
    """A plan of one zone with a category for each that its seats name."""
    seats = [seat for row in rows for seat in row if isinstance(seat, dict)]
    names = dict.fromkeys(seat.get("category", "Any") for seat in seats)
    return {
        "name": "Hall",
        "categories": [{"name": name, "color": "#000"} for name in names],
        "zones": [
            {
                "name": "Stalls",
                "position": {"x": 0, "y": 0},
                "rows": [{"row_number": str(n), "seats": seats} for n, seats in enumerate(rows, 1)],
            }
        ],
    } | more


def line(xs: list[float], y: float = 0, **more: Any) -> list[Json]:
    """Seats at these places, their guids and numbers a, b, c … in the order given."""
    return [seat_at(f"{chr(97 + i)}{y:g}", x, y, **more) for i, x in enumerate(xs)]


def runs(plan: Plan) -> list[list[str]]:
    """The guids of consecutive seats, best run first."""
    found = [[plan.seats[0].guid]]
    for before, seat in pairwise(plan.seats):
        if seat.seat == before.seat + 1:
            found[-1].append(seat.guid)
        else:
            found.append([seat.guid])
    return found


def run_lengths(plan: Plan) -> list[int]:
    return [len(run) for run in runs(plan)]


def by_guid(plan: Plan) -> dict[str, Seat]:
    return {seat.guid: seat for seat in plan.seats}


def errors_of(source: Any) -> dict[str, str]:
    with pytest.raises(PlanError) as refused:
        read_plan(source)
    return {error["path"]: error["message"] for error in refused.value.errors}


# Reading


def test_it_reads_names_categories_size_and_positions() -> None:
    plan = read_plan(
        {
            "name": "Hall",
            "size": {"width": 300, "height": 200.5},
            "categories": [{"name": "Good", "color": "#fff"}, {"name": "Cheap"}],
            "zones": [
                {
                    "name": "Stalls",
                    "position": {"x": 100, "y": 10},
                    "rows": [
                        {
                            "row_number": "A",
                            "position": {"x": 5, "y": 0.5},
                            "seats": [seat_at("a", 1, 2, "Cheap")],
                        }
                    ],
                }
            ],
        }
    )
    assert (plan.name, plan.size) == ("Hall", (300.0, 200.5))
    assert [tuple(category) for category in plan.categories] == [("Good", "#fff"), ("Cheap", "")]
    assert plan.seats == [
        Seat(
            seat=1,
            guid="a",
            zone="Stalls",
            row="A",
            number="a",
            category=1,
            accessible=False,
            restricted=False,
            x=106.0,
            y=12.5,
            centre=0,
            companion=False,
            general_admission=False,
        )
    ]


def test_it_reads_bytes_with_a_byte_order_mark() -> None:
    source = b"\xef\xbb\xbf" + json.dumps(plan_of(line([0, 20]))).encode()
    assert run_lengths(read_plan(source)) == [2]


def test_it_does_without_everything_optional() -> None:
    seats = [{"seat_guid": "a", "category": "Any"}, {"seat_guid": "b", "category": "Any"}]
    plan = read_plan(
        {"name": "Hall", "categories": [{"name": "Any"}], "zones": [{"rows": [{"seats": seats}]}]}
    )
    assert runs(plan) == [["a", "b"]]
    assert (plan.seats[0].zone, plan.seats[0].row, plan.seats[0].number) == ("", "", "")
    assert plan.size == (0.0, 0.0)


def test_it_ignores_keys_it_does_not_know() -> None:
    source = plan_of(line([0, 20], radius=10, uuid="u", start_direction="<"), made_by="an editor")
    source["zones"][0]["areas"] = [{"shape": "text"}]
    assert len(read_plan(source).seats) == 2


def test_it_takes_the_size_from_the_seats_where_the_plan_has_none() -> None:
    assert read_plan(plan_of(line([0, 20, 40], y=30))).size == (40.0, 30.0)


@pytest.mark.parametrize(("written", "read"), [(7, "7"), ("7bis", "7bis"), (None, ""), ("", "")])
def test_it_takes_seat_numbers_as_text_or_integer(written: Any, read: str) -> None:
    plan = read_plan(plan_of([seat_at("a", 0) | {"seat_number": written}]))
    assert plan.seats[0].number == read


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ({"row_number": 12}, "12"),
        ({"row_number": "12", "row_label": "Table %s"}, "12"),
        ({"row_number": "", "row_label": "Royal box"}, "Royal box"),
        ({"row_label": "Box %s"}, "Box"),
        ({"row_label": None}, ""),
    ],
)
def test_it_names_a_row_by_its_number_or_else_its_label(row: Json, read: str) -> None:
    source = plan_of(line([0]))
    source["zones"][0]["rows"] = [row | {"seats": line([0])}]
    assert read_plan(source).seats[0].row == read


@pytest.mark.parametrize(
    ("category", "accessible", "companion", "restricted"),
    [
        ("Wheelchair", True, False, False),
        ("Rollstuhlplätze", True, False, False),
        ("Accessible seating", True, False, False),
        ("Wheelchair companion", False, True, False),
        ("Rollstuhl-Begleitperson", False, True, False),
        ("Standard (restricted view)", False, False, True),
        ("Sichtbehindert", False, False, True),
        ("Standard", False, False, False),
        ("Inaccessible loge", False, False, False),
    ],
)
def test_it_takes_flags_from_the_name_of_a_category(
    category: str, accessible: bool, companion: bool, restricted: bool
) -> None:
    seat = read_plan(plan_of(line([0], category=category))).seats[0]
    assert (seat.accessible, seat.companion, seat.restricted) == (accessible, companion, restricted)


def test_what_a_seat_says_of_itself_overrules_its_category() -> None:
    row = [
        seat_at("a", 0, category="Wheelchair", accessible=False),
        seat_at("b", 20, category="Any", accessible=True, companion=True, restricted_view=True),
    ]
    seats = by_guid(read_plan(plan_of(row)))
    assert not seats["a"].accessible
    assert (seats["b"].accessible, seats["b"].companion, seats["b"].restricted) == (True,) * 3


# Refusing


@pytest.mark.parametrize(
    "source",
    [b"", b"{", b"\xff\xfe\xff", b'{"name": NaN', b"[" * 200_000, b"9" * 5_000],
    ids=["empty", "cut off", "not text", "not a number", "deep", "endless number"],
)
def test_it_refuses_what_is_not_json(source: bytes) -> None:
    assert "not" in errors_of(source)["plan"]


@pytest.mark.parametrize("source", [b"[]", b"null", b"7", b'"plan"'])
def test_it_refuses_what_is_not_an_object(source: bytes) -> None:
    assert errors_of(source)["plan"].startswith("must be an object, not ")


def test_it_lists_every_problem_with_its_path() -> None:
    source = plan_of(
        [
            seat_at("a", 0),
            seat_at("a", 20),
            seat_at("c", 40),
            {"category": "Any"},
            seat_at("e", 0) | {"position": {"x": "0", "y": math.nan}},
            seat_at("f", 0) | {"accessible": "yes", "seat_number": 7.5},
            "seat",
            seat_at("h", 0) | {"seat_guid": 8},
            {"seat_guid": "i"},
        ]
    )
    source["zones"][0]["rows"][0]["seats"][2]["category"] = "Nowhere"
    source |= {"name": None, "size": {"width": -1}, "focal_point": [0, 0]}
    source["zones"] += [{"name": 3, "general_admission": 1, "rows": [{"seat": []}, []]}, {}, 5]
    seats = "zones[0].rows[0].seats"
    assert errors_of(source) == {
        "name": "is missing",
        "size.width": "must not be negative",
        "size.height": "is missing",
        "focal_point": "must be an object with x and y, not a list",
        f"{seats}[1].seat_guid": f"'a' is also the guid of {seats}[0]",
        f"{seats}[2].category": "'Nowhere' is not among the plan's categories",
        f"{seats}[3].seat_guid": "is missing",
        f"{seats}[4].position.x": "must be a number, not text",
        f"{seats}[4].position.y": "must be between -1,000,000 and 1,000,000",
        f"{seats}[5].accessible": "must be true or false, not text",
        f"{seats}[5].seat_number": "must be text, not a number",
        f"{seats}[6]": "must be an object, not text",
        f"{seats}[7].seat_guid": "must be text, not a number",
        f"{seats}[8].category": "is missing",
        "zones[1].name": "must be text, not a number",
        "zones[1].general_admission": "must be true or false, not a number",
        "zones[1].rows[0].seats": "is missing",
        "zones[1].rows[1]": "must be an object, not a list",
        "zones[2].rows": "is missing",
        "zones[3]": "must be an object, not a number",
    }


def test_it_finds_a_guid_again_in_another_zone() -> None:
    source = plan_of(line([0]))
    source["zones"] *= 2
    assert list(errors_of(source)) == ["zones[1].rows[0].seats[0].seat_guid"]


def test_it_refuses_bad_categories() -> None:
    source = plan_of(line([0]))
    source["categories"] += [{"name": "Any"}, {"color": "#fff"}, "Standard", {"name": ""}]
    assert errors_of(source) == {
        "categories[1].name": "'Any' names a category above, too",
        "categories[2].name": "is missing",
        "categories[3]": "must be an object, not text",
        "categories[4].name": "is empty",
    }


@pytest.mark.parametrize("zones", [[], [{"rows": []}], [{"rows": [{"seats": []}]}]])
def test_it_refuses_a_plan_without_seats(zones: list[Json]) -> None:
    assert errors_of({"name": "Hall", "categories": [], "zones": zones}) == {
        "zones": "hold no seats"
    }


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_it_refuses_text_that_the_database_cannot_hold(text: str) -> None:
    source = json.dumps(plan_of([seat_at("a", 0) | {"seat_guid": text}])).encode()
    message = errors_of(source)["zones[0].rows[0].seats[0].seat_guid"]
    assert message == "contains a character that cannot be stored"


def test_it_refuses_absurd_sizes() -> None:
    source = plan_of(line([0]), name="x" * 201)
    source["zones"][0]["rows"] = [{"seats": [{}] * 200_001}, {"seats": [{}]}]
    source["zones"] += [{"rows": [{"seats": []}] * 50_001}]
    source["categories"] = [{"name": str(n)} for n in range(201)]
    assert errors_of(source) == {
        "name": "is longer than 200 characters",
        "categories": "are 201: more than 200",
        "zones[0].rows[0].seats": "exceed what a plan may hold, 200,000 of them",
        "zones[1].rows": "exceed what a plan may hold, 50,000 of them",
    }
    assert errors_of(b" " * (64 * 2**20 + 1)) == {"plan": "is larger than 64 MiB"}


def test_it_bounds_the_list_of_problems_and_counts_the_rest() -> None:
    with pytest.raises(PlanError) as refused:
        read_plan(plan_of([{"category": "Any"}] * 1_500))
    assert len(refused.value.errors) == MAX_ERRORS + 1
    assert refused.value.errors[-1] == {"path": "plan", "message": "has 1,400 more problems"}


KEYS = ["name", "size", "width", "categories", "zones", "rows", "seats", "position", "x", "y"]
KEYS += ["category", "seat_guid", "seat_number", "row_number", "row_label", "focal_point"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=6,
            )
        ),
        max_leaves=30,
    )
)
def test_whatever_it_is_given_it_reads_or_refuses(source: Any) -> None:
    try:
        assert read_plan(json.dumps(source).encode()).seats
    except PlanError as refused:
        assert refused.errors


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


def test_a_seat_of_another_category_breaks_a_run() -> None:
    row = line([0, 20, 40, 60, 80])
    row[2]["category"] = "Other"
    assert runs(read_plan(plan_of(row))) == [["a0", "b0"], ["d0", "e0"], ["c0"]]


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
    assert run_lengths(read_plan(plan_of(*rows))) == [20, 20, 4, 1, 1, 1, 1]


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
    assert run_lengths(read_plan(source)) == [2, 1, 3]


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


def test_without_a_focus_the_file_says_what_is_better() -> None:
    source = plan_of(line([0, 20], y=90), line([0, 20], y=0))
    assert runs(read_plan(source)) == [["a90", "b90"], ["a0", "b0"]]


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


@st.composite
def plans(draw: st.DrawFn) -> Json:
    """Halls with everything odd: gaps, shuffles, curves, standing rows, undrawn seats, no names."""
    zones = []
    guid = 0
    for _ in range(draw(st.integers(1, 3))):
        rows = []
        for y in range(draw(st.integers(1, 4))):
            seats = []
            x = 0.0
            for step in draw(st.lists(st.sampled_from([20, 20, 20, 21.5, 40, 90, 0]), max_size=15)):
                x += step
                seat = seat_at(f"g{guid}", x, 30 * y + x * x / 900)
                seat["category"] = draw(st.sampled_from(["A", "A", "A", "B"]))
                seats.append(seat)
                guid += 1
            if seats and draw(st.integers(0, 5)) == 0:
                del seats[0]["position"]
            row: Json = {"seats": draw(st.permutations(seats)) if draw(st.booleans()) else seats}
            rows.append(row | draw(st.sampled_from([{}, {}, {"general_admission": True}])))
        zones.append({"rows": rows})
    zones.append({"rows": [{"seats": [seat_at("last", 0, category="A")]}]})
    focus = draw(st.sampled_from([{}, {"focal_point": {"x": 50, "y": -100}}]))
    return {"name": "H", "categories": [{"name": "A"}, {"name": "B"}], "zones": zones} | focus


def row_of(source: Json) -> dict[str, tuple[int, int]]:
    return {
        seat["seat_guid"]: (z, r)
        for z, zone in enumerate(source["zones"])
        for r, row in enumerate(zone["rows"])
        for seat in row["seats"]
    }


@given(plans())
@settings(max_examples=150, deadline=None)
def test_every_seat_is_numbered_exactly_once_from_one(source: Json) -> None:
    plan = read_plan(source)
    rows = row_of(source)
    assert Counter(seat.guid for seat in plan.seats) == Counter(list(rows))
    numbers = [seat.seat for seat in plan.seats]
    assert numbers[0] == 1
    assert all(after - before in (1, 2) for before, after in pairwise(numbers))


@given(plans())
@settings(max_examples=150, deadline=None)
def test_consecutive_seats_share_zone_row_and_category(source: Json) -> None:
    rows = row_of(source)
    for before, seat in pairwise(read_plan(source).seats):
        if seat.seat == before.seat + 1:
            assert (rows[before.guid], before.category) == (rows[seat.guid], seat.category)


@given(plans())
@settings(max_examples=150, deadline=None)
def test_standing_places_of_a_row_and_category_are_never_parted(source: Json) -> None:
    rows = row_of(source)
    found: dict[Any, list[int]] = defaultdict(list)
    for seat in read_plan(source).seats:
        if seat.general_admission:
            found[rows[seat.guid], seat.category].append(seat.seat)
    for numbers in found.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


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


@given(plans(), st.floats(-500, 500))
@settings(max_examples=100, deadline=None)
def test_it_gives_the_same_numbers_whatever_things_are_called(source: Json, moved: float) -> None:
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


def test_a_later_version_keeps_the_numbers_of_known_seats() -> None:
    first = read_plan(plan_of(line([0, 20, 40, 60])))
    earlier = {seat.guid: seat.seat for seat in first.seats}
    row = line([0, 20, 40, 60])
    edited = [seat_at("new1", -40), seat_at("new2", -20), row[0], row[2], row[3]]
    later = keep_numbers(read_plan(plan_of(edited)), earlier)
    seats = by_guid(later)
    assert {guid: seats[guid].seat for guid in ("a0", "c0", "d0")} == {"a0": 1, "c0": 3, "d0": 4}
    assert seats["new2"].seat == seats["new1"].seat + 1
    assert seats["new1"].seat > max(earlier.values()) + 1
    assert [seat.seat for seat in later.seats] == sorted(seat.seat for seat in later.seats)


def test_a_first_version_has_its_own_numbers() -> None:
    plan = read_plan(plan_of(line([0, 20])))
    assert keep_numbers(plan, {}) == plan


@given(plans(), plans())
@settings(max_examples=50, deadline=None)
def test_a_number_never_comes_to_mean_another_seat(first: Json, second: Json) -> None:
    earlier = {seat.guid: seat.seat for seat in read_plan(first).seats}
    later = {seat.guid: seat.seat for seat in keep_numbers(read_plan(second), earlier).seats}
    assert len(set(later.values())) == len(later)
    for guid, seat in later.items():
        assert earlier[guid] == seat if guid in earlier else seat not in earlier.values()


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


def test_an_arena_of_80_000_is_read_in_three_seconds() -> None:
    source = json.dumps(arena(80_000)).encode()
    start = time.process_time()
    plan = read_plan(source)
    assert time.process_time() - start < 3.0
    assert len(plan.seats) == 80_000
    assert Counter(run_lengths(plan)) == {24: 3_333, 8: 1}


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
