"""Our theatre of about 1,200 seats: generates `theatre.json`, in the format of
`db/catalogue/seating.py`.

    python -m ops.plans.theatre

Stalls, circle and balcony are arcs around one point behind the stage. The stalls are numbered as
in many old houses, odd to the left and even to the right from the centre aisle, and have no row I;
the tiers are numbered through from the left. The file is committed; a test keeps it as generated.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("theatre.json")

SEAT = 22.0  # between neighbours, in the plan's units
ROW = 30.0  # from row to row
AISLE = 52.0  # between the seats on both sides of an aisle
CENTRE = (700.0, -420.0)  # of all arcs; the stage is 500 in front of it
FOCUS = (700, 60)

PREMIUM, STANDARD, ECONOMY, RESTRICTED = "Premium", "Standard", "Economy", "Restricted view"
COLOURS = {PREMIUM: "#7c4dff", STANDARD: "#00897b", ECONOMY: "#ef6c00", RESTRICTED: "#8d6e63"}


@dataclass(frozen=True)
class Tier:
    """One zone: its rows by name and, per row, the seats of each block from left to right."""

    name: str
    radius: float  # of the first row
    rows: list[tuple[str, list[int]]]
    odd_and_even: bool


@dataclass(frozen=True)
class Chair:
    """One seat before it has a category: `angle` is in radians from the middle, left negative."""

    block: int
    in_block: int
    angle: float


def theatre() -> dict[str, Any]:
    """The plan, as parsed JSON."""
    tiers = [stalls(), circle(), balcony()]
    return {
        "name": "Usher Theatre",
        "size": {"width": 1400, "height": 1400},
        "focal_point": {"x": FOCUS[0], "y": FOCUS[1]},
        "categories": [{"name": name, "color": color} for name, color in COLOURS.items()],
        "zones": [zone(tier) for tier in tiers],
    }


def stalls() -> Tier:
    """Twenty rows in four blocks; the outer blocks begin at row C and end before the back."""
    rows = []
    for index, name in enumerate("ABCDEFGHJKLMNOPQRSTU"):
        inner = 9 + index // 4
        outer = 0 if index < 2 or index > 17 else 3 + index // 4
        rows.append((name, [outer, inner, inner, outer]))
    return Tier("Stalls", 560.0, rows, odd_and_even=True)


def circle() -> Tier:
    """Eight rows in three blocks."""
    rows = [(name, [9 + i // 3, 20 + i // 2, 9 + i // 3]) for i, name in enumerate("ABCDEFGH")]
    return Tier("Circle", 1220.0, rows, odd_and_even=False)


def balcony() -> Tier:
    """Six rows in three blocks, the last without its middle: the lighting box is there."""
    rows = [(name, [10, 24 + i, 10]) for i, name in enumerate("ABCDE")]
    return Tier("Balcony", 1520.0, [*rows, ("F", [14, 0, 14])], odd_and_even=False)


def zone(tier: Tier) -> dict[str, Any]:
    rows = [row(tier, index) for index in range(len(tier.rows))]
    areas = [stage()] if tier.name == "Stalls" else []
    return {
        "name": tier.name,
        "zone_id": tier.name.lower(),
        "position": {"x": CENTRE[0], "y": CENTRE[1]},
        "rows": rows,
        "areas": areas,
    }


def stage() -> dict[str, Any]:
    """A drawing only; its position is relative to the stalls'."""
    return {
        "shape": "rectangle",
        "color": "#eeeeee",
        "border_color": "#888888",
        "rotation": 0,
        "position": {"x": -250, "y": 430},
        "rectangle": {"width": 500, "height": 80},
        "text": {"position": {"x": 250, "y": 40}, "text": "Stage", "color": "#333333", "size": 24},
    }


def row(tier: Tier, index: int) -> dict[str, Any]:
    name, blocks = tier.rows[index]
    radius = tier.radius + index * ROW
    chairs = chairs_of(blocks, radius)
    numbers = numbers_of(chairs, tier.odd_and_even)
    seats = [
        seat(tier, index, chair, number, radius)
        for chair, number in zip(chairs, numbers, strict=True)
    ]
    if tier.odd_and_even:  # such houses list one side after the other
        seats.sort(key=lambda seat: (int(seat["seat_number"]) % 2 == 0, int(seat["seat_number"])))
    return {
        "row_number": name,
        "row_number_position": "both",
        "position": {"x": 0, "y": 0},
        "seats": seats,
    }


def chairs_of(blocks: list[int], radius: float) -> list[Chair]:
    """The chairs from left to right, the row centred; an empty middle block keeps its place."""
    places: list[tuple[int, int, float]] = []
    along = 0.0
    for block, count in enumerate(blocks):
        if not count and 0 < block < len(blocks) - 1:
            along += 20 * SEAT
        for in_block in range(count):
            places.append((block, in_block, along))
            along += SEAT if in_block < count - 1 else AISLE
    middle = (places[0][2] + places[-1][2]) / 2
    return [Chair(block, i, (along - middle) / radius) for block, i, along in places]


def numbers_of(chairs: list[Chair], odd_and_even: bool) -> list[int]:
    """1 2 3 … from the left, or … 5 3 1 | 2 4 6 … from the middle."""
    if not odd_and_even:
        return list(range(1, len(chairs) + 1))
    half = len(chairs) // 2
    return [2 * (half - i) - 1 if i < half else 2 * (i - half) + 2 for i in range(len(chairs))]


def seat(tier: Tier, index: int, chair: Chair, number: int, radius: float) -> dict[str, Any]:
    name = tier.rows[index][0]
    restricted = has_restricted_view(tier, index, chair)
    found: dict[str, Any] = {
        "seat_guid": f"{tier.name.lower()}-{name}-{number}",
        "seat_number": str(number),
        "position": {
            "x": round(radius * math.sin(chair.angle), 1),
            "y": round(radius * math.cos(chair.angle), 1),
        },
        "category": RESTRICTED if restricted else category(tier, index, chair),
    }
    flag = wheelchair_flag(tier, index, chair)
    return (
        found | ({"restricted_view": True} if restricted else {}) | ({flag: True} if flag else {})
    )


def has_restricted_view(tier: Tier, index: int, chair: Chair) -> bool:
    """Behind the pillars that carry the circle, and at the outer ends of both tiers."""
    if is_inner(tier, index, chair):
        return False
    size = tier.rows[index][1][chair.block]
    outer = chair.in_block if chair.block == 0 else size - 1 - chair.in_block
    if tier.name == "Stalls":
        return index >= 15 and outer < 2
    return outer < (3 if index < 2 else 1)


def category(tier: Tier, index: int, chair: Chair) -> str:
    inner = is_inner(tier, index, chair)
    if tier.name == "Stalls":
        return PREMIUM if inner and index < 12 else STANDARD
    if tier.name == "Circle":
        return PREMIUM if inner and index < 2 else STANDARD if index < 6 else ECONOMY
    return ECONOMY


def is_inner(tier: Tier, index: int, chair: Chair) -> bool:
    return 0 < chair.block < len(tier.rows[index][1]) - 1


def wheelchair_flag(tier: Tier, index: int, chair: Chair) -> str | None:
    """Places without a step: the back of the stalls and of the circle, where the blocks end."""
    last = len(tier.rows) - 1
    if tier.name == "Balcony" or index != last or not is_inner(tier, index, chair):
        return None
    from_end = min(chair.in_block, tier.rows[index][1][chair.block] - 1 - chair.in_block)
    return {0: "accessible", 1: "companion"}.get(from_end)


def as_text(plan: dict[str, Any]) -> str:
    """JSON with one row of seats a line, so that a change shows as the rows that it changes."""
    text = json.dumps(plan, ensure_ascii=False, separators=(",", ":"))
    return text.replace('{"row_number":', '\n{"row_number":') + "\n"


if __name__ == "__main__":
    PATH.write_text(as_text(theatre()), encoding="utf-8")
    print(f"wrote {PATH}")
