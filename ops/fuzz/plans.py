"""The plans of the made-up venue."""

import json
from typing import Any

ROWS, SEATS = 40, 50
FEW_ROWS, FEW_SEATS = 4, 10


def draw_plan(name: str, rows: int, seats: int) -> bytes:
    return json.dumps(describe_plan(name, rows, seats)).encode()


def describe_plan(name: str, rows: int, seats: int) -> dict[str, Any]:
    """Rows of seats whose guids are "1-1", "1-2" and so on; the last quarter of rows is free."""
    return {
        "name": name,
        "size": {"width": 10 * seats, "height": 10 * rows},
        "focal_point": {"x": 5 * seats, "y": 0},
        "categories": [{"name": "Stalls", "color": "#f00"}, {"name": "Balcony", "color": "#00f"}],
        "zones": [
            {
                "name": "Floor",
                "position": {"x": 0, "y": 0},
                "rows": [_row(row, rows, seats) for row in range(1, rows + 1)],
            }
        ],
    }


def _row(row: int, rows: int, seats: int) -> dict[str, Any]:
    return {
        "row_number": str(row),
        "position": {"x": 0, "y": row * 10},
        "seats": [
            {
                "seat_guid": f"{row}-{seat}",
                "seat_number": str(seat),
                "category": "Balcony" if 4 * row > 3 * rows else "Stalls",
                "position": {"x": seat * 5, "y": 0},
            }
            for seat in range(1, seats + 1)
        ],
    }
