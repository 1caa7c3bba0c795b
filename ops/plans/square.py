"""A plan with any number of seats in one category."""

from typing import Any

SEATS_A_ROW = 22  # with a pair in the middle, an even number is left on either side


def square_plan(seats: int) -> dict[str, Any]:
    """A seating plan of full rows."""
    rows = [
        {
            "row_number": str(row),
            "seats": [
                {"seat_guid": f"{row}-{seat}", "seat_number": str(seat), "category": "All",
                 "position": {"x": 20 * seat, "y": 20 * row}}
                for seat in range(1, SEATS_A_ROW + 1)
            ],
        }
        for row in range(1, -(-seats // SEATS_A_ROW) + 1)
    ]  # fmt: skip
    zone = {"name": "Stalls", "position": {"x": 0, "y": 0}, "rows": rows}
    return {"name": "Bench", "categories": [{"name": "All"}], "zones": [zone]}
