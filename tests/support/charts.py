"""Charts of plans without a database."""

from typing import Any

from db.catalogue.chart_columns import ChartCategory, ChartSeat, encode_chart
from db.catalogue.seating import Plan


def seats_of(plan: Plan) -> list[ChartSeat]:
    """The seats of a plan as `plan_seats` keeps them."""
    return [
        ChartSeat(
            s.seat,
            s.category + 1,
            s.zone,
            s.row,
            s.row_label,
            s.number,
            s.x,
            s.y,
            s.accessible,
            s.companion,
            s.restricted,
            s.general_admission,
        )
        for s in plan.seats
    ]


def chart_of(plan: Plan) -> bytes:
    categories = [ChartCategory(n, *found) for n, found in enumerate(plan.categories, 1)]
    return encode_chart(1, categories, seats_of(plan))


def told(seat: ChartSeat) -> tuple[Any, ...]:
    """All of a seat but its place, as tests/js/read_charts.mjs tells it."""
    flags = seat.accessible + 2 * seat.companion + 4 * seat.restricted
    label = (seat.zone, seat.row, seat.printed_row, seat.number)
    return (seat.seat, seat.category, *label, flags, seat.standing)
