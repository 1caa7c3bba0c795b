"""Seating plans drawn for tests."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from db.catalogue.seating import Plan, Seat

Json = dict[str, Any]


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


KEYS = ["name", "size", "width", "categories", "zones", "rows", "seats", "position", "x", "y"]

KEYS += ["category", "seat_guid", "seat_number", "row_number", "row_label", "focal_point"]


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


ROWS, WIDTH = 6, 10


def small_hall() -> dict[str, Any]:
    """60 seats in two categories; the last row begins with two places for wheelchairs, each with a
    seat for a companion."""
    rows = [
        {
            "row_number": str(row),
            "seats": [
                {
                    "seat_guid": f"{row}-{seat}",
                    "seat_number": str(seat),
                    "category": "Front" if row <= 3 else "Back",
                    "position": {"x": 20 * seat, "y": 20 * row},
                    "accessible": row == ROWS and seat in (1, 3),
                    "companion": row == ROWS and seat in (2, 4),
                }
                for seat in range(1, WIDTH + 1)
            ],
        }
        for row in range(1, ROWS + 1)
    ]
    zone = {"name": "Hall", "position": {"x": 0, "y": 0}, "rows": rows}
    return {"name": "Small", "categories": [{"name": "Front"}, {"name": "Back"}], "zones": [zone]}
