"""Seating plans are read, or refused with every problem and its path."""

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.catalogue.seating import MAX_ERRORS, PlanError, Seat, read_plan
from tests.support.drawings import KEYS, Json, by_guid, line, plan_of, run_lengths, runs, seat_at


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


@pytest.mark.faults("H5")
@pytest.mark.parametrize(
    "body",
    [
        b'{"zones":[' + b"[]," * 3_000_000 + b"[]]}",
        b'{"zones":[' + b"{}," * 3_000_000 + b"{}]}",
        b'{"zones":[' + b"0," * 3_000_000 + b"0]}",
        b"[" * 1_000_000,
    ],
    ids=["lists", "objects", "numbers", "depth"],
)
def test_more_parts_than_any_venue_has_are_not_even_parsed(body: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(PlanError, match="too many parts"):
        read_plan(body)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
