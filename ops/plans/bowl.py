"""A stadium of 80,000 seats, for measurements: three tiers of curved rows around an oval pitch."""

import math
from typing import Any, NamedTuple

SEATS = 80_000
SEAT, ROW = 20.0, 32.0  # spacing, in the plan's units
AISLE = 50.0  # between two blocks
STRETCH = 1.25  # how much longer the oval is than wide


class Tier(NamedTuple):
    """Rows from `radius` outwards, in so many blocks."""

    name: str
    radius: float
    rows: int
    blocks: int


TIERS = [
    Tier("Lower", 2300.0, 32, 30),
    Tier("Middle", 3500.0, 24, 40),
    Tier("Upper", 4450.0, 40, 52),
]
CATEGORIES = ["Long side", "Corner", "Short side"]


def bowl(seats: int = SEATS) -> dict[str, Any]:
    """A plan of exactly `seats` seats, as JSON: all blocks of a tier, then the next tier."""
    zones = []
    left = seats
    for tier in TIERS:
        for block in range(tier.blocks):
            zone, used = _block(tier, block, left)
            left -= used
            if used:
                zones.append(zone)
    return {
        "name": f"Bowl of {seats - left}",
        "focal_point": {"x": 0, "y": 0},
        "categories": [{"name": name, "color": "#00897b"} for name in CATEGORIES],
        "zones": zones,
    }


def _block(tier: Tier, block: int, left: int) -> tuple[dict[str, Any], int]:
    """A block with at most `left` seats, and how many it has."""
    name = f"{tier.name} {100 * (TIERS.index(tier) + 1) + block + 1}"
    middle = (block + 0.5) * math.tau / tier.blocks
    rows: list[dict[str, Any]] = []
    used = 0
    for index in range(tier.rows):
        radius = tier.radius + index * ROW
        room = math.tau * radius / tier.blocks - AISLE
        count = min(int(room / SEAT), left - used)
        if count:
            rows.append(_row(name, index + 1, radius, middle, count))
        used += count
    return {"name": name, "position": {"x": 0, "y": 0}, "rows": rows}, used


def _row(name: str, number: int, radius: float, angle: float, count: int) -> dict[str, Any]:
    around = abs(math.sin(angle))
    category = CATEGORIES[0 if around > 0.75 else 1 if around > 0.4 else 2]
    angles = [angle + (i - (count - 1) / 2) * SEAT / radius for i in range(count)]
    return {
        "row_number": str(number),
        "position": {"x": 0, "y": 0},
        "seats": [
            {
                "seat_guid": f"{name}-{number}-{i + 1}",
                "seat_number": str(i + 1),
                "position": {
                    "x": round(STRETCH * radius * math.cos(at), 1),
                    "y": round(radius * math.sin(at), 1),
                },
                "category": category,
            }
            for i, at in enumerate(angles)
        ],
    }
