"""Arenas of any size, for measurements: blocks of straight rows in rings around a pitch."""

import math
from typing import Any

RING = 60  # blocks around the pitch
ROWS, SEATS = 20, 24  # of a block
SEAT, ROW = 20.0, 30.0  # spacing, in the plan's units
PITCH = 6000.0  # radius of the first row: there 60 blocks and the aisles between them fit
CATEGORIES = ["Lower tier", "Middle tier", "Upper tier"]


def arena(seats: int) -> dict[str, Any]:
    """A plan of exactly `seats` seats, filled block by block from the pitch outwards, as JSON."""
    size = ROWS * SEATS
    rings = math.ceil(seats / (RING * size))
    return {
        "name": f"Arena of {seats}",
        "focal_point": {"x": 0, "y": 0},
        "categories": [{"name": name, "color": "#00897b"} for name in CATEGORIES[:rings]],
        "zones": [
            block(number, min(size, seats - number * size))
            for number in range(math.ceil(seats / size))
        ],
    }


def block(number: int, seats: int) -> dict[str, Any]:
    """A zone of `seats` seats; the blocks of a ring are numbered around the pitch."""
    return {
        "name": f"Block {number + 1}",
        "position": {"x": 0, "y": 0},
        "rows": [
            row(number, index, min(SEATS, seats - index * SEATS))
            for index in range(math.ceil(seats / SEATS))
        ],
    }


def row(number: int, index: int, seats: int) -> dict[str, Any]:
    ring, place = divmod(number, RING)
    angle = place * math.tau / RING
    radius = PITCH + (ring * (ROWS + 2) + index) * ROW
    return {
        "row_number": str(index + 1),
        "position": {"x": radius * math.cos(angle), "y": radius * math.sin(angle)},
        "seats": [
            {
                "seat_guid": f"{number + 1}-{index + 1}-{seat + 1}",
                "seat_number": str(seat + 1),
                "position": along(angle, (seat - (SEATS - 1) / 2) * SEAT),
                "category": CATEGORIES[min(ring, len(CATEGORIES) - 1)],
            }
            for seat in range(seats)
        ],
    }


def along(angle: float, offset: float) -> dict[str, float]:
    """A point on the tangent at `angle`, relative to where it touches."""
    return {"x": -offset * math.sin(angle), "y": offset * math.cos(angle)}
