"""The compact chart: all seats of a plan version as columns of small integers, which a page reads
in milliseconds and a proxy keeps for ever. `ops/docs/chart.md` describes the format; pages read it
with `web/pages/static/chart.js`.

Rows are drawn as curves: a row whose seats lie within one unit of a line or of a parabola is three
points; of other rows each step is told. A unit is about a twentieth of the distance between seats.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median
from typing import Any, NamedTuple

FORMAT = 1
UNITS_A_STEP = 20
MOST_ON_A_CURVE = 2000
FURTHEST = 10**6
"""Units from one end of a curve to the other: more would not be exact in JavaScript's numbers."""
LONGEST_NUMBER = 9
"""Digits of a printed number that is computed."""


class ChartSeat(NamedTuple):
    """A seat of a plan version, as `plan_seats` keeps it."""

    seat: int
    category: int
    zone: str
    row: str
    printed_row: str
    number: str
    x: float
    y: float
    accessible: bool = False
    companion: bool = False
    restricted: bool = False
    standing: bool = False


@dataclass(frozen=True)
class ChartCategory:
    """A category as it is told."""

    category: int
    name: str
    color: str


class Curve(NamedTuple):
    """One coordinate of a row, in units. span: from the first seat to the last one. bow: four times
    the distance of its middle from the line between them."""

    start: int
    span: int
    bow: int

    def at(self, i: int, last: int) -> int:
        """The coordinate of the seat `i` of 0 to `last`."""
        if last == 0:
            return self.start
        whole = last * last
        off = 2 * (self.span * i * last + self.bow * i * (last - i)) + whole
        return self.start + off // (2 * whole)


def encode_chart(
    plan_version_id: int, categories: Iterable[ChartCategory], seats: Iterable[ChartSeat]
) -> bytes:
    """The chart as JSON. seats: in any order."""
    rows = _list_rows(sorted(seats))
    unit = _choose_unit(rows)
    document = {
        "format": FORMAT,
        "plan_version_id": plan_version_id,
        "seats": sum(map(len, rows)),
        "last_seat": max((row[-1].seat for row in rows), default=0),
        "unit": unit,
        "categories": [
            {"category": c.category, "name": c.name, "color": c.color} for c in categories
        ],
        "zones": [
            {"name": zone, "rows": len(list(members))}
            for zone, members in groupby(row[0].zone for row in rows)
        ],
        "rows": _describe_rows(rows) | _draw_rows(rows, unit),
        **_describe_seats([seat for row in rows for seat in row]),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _describe_rows(rows: list[list[ChartSeat]]) -> dict[str, Any]:
    """What rows are called, their numbers of seats, and the printed numbers of those."""
    series = [_series([seat.number for seat in row]) for row in rows]
    return {
        "name": [row[0].row for row in rows],
        "label": [row[0].printed_row for row in rows],
        "area": _runs(1 for _ in rows),
        "standing": _runs(int(row[0].standing) for row in rows),
        "length": [len(row) for row in rows],
        "first": _deltas(row[0].seat for row in rows),
        "number": [found and found[0] for found in series],
        "number_step": [found and found[1] for found in series],
        "numbers": {
            str(n): [seat.number for seat in row]
            for n, (row, found) in enumerate(zip(rows, series, strict=True))
            if found is None and any(seat.number for seat in row)
        },
    }


def _draw_rows(rows: list[list[ChartSeat]], unit: float) -> dict[str, Any]:
    """The curves of rows; and the steps of rows that are none."""
    drawn: dict[str, list[Curve]] = {"x": [], "y": []}
    steps: dict[str, list[list[int]]] = {}
    for n, row in enumerate(rows):
        places = [[seat.x / unit for seat in row], [seat.y / unit for seat in row]]
        curves = [_fit(along) for along in places]
        if None in curves:
            steps[str(n)] = [[b - a for a, b in pairwise(map(round, along))] for along in places]
            curves = [Curve(round(along[0]), 0, 0) for along in places]
        for axis, curve in zip(drawn.values(), curves, strict=True):
            axis.append(curve or Curve(0, 0, 0))
    columns: dict[str, Any] = {}
    for name, found in drawn.items():
        columns[name] = _deltas(curve.start for curve in found)
        columns[f"span_{name}"] = _deltas(curve.span for curve in found)
        columns[f"bow_{name}"] = _deltas(curve.bow for curve in found)
    return columns | {"steps": steps}


def _describe_seats(seats: list[ChartSeat]) -> dict[str, Any]:
    """Categories in runs, in the order of the chart; and the seats that have a flag."""

    def flagged(has: Callable[[ChartSeat], bool]) -> list[int]:
        return _deltas(sorted(seat.seat for seat in seats if has(seat)))

    return {
        "category": _runs(seat.category for seat in seats),
        "accessible": flagged(lambda seat: seat.accessible),
        "companion": flagged(lambda seat: seat.companion),
        "restricted": flagged(lambda seat: seat.restricted),
    }


def _list_rows(seats: list[ChartSeat]) -> list[list[ChartSeat]]:
    """Neighbours with one label, as drawn: by zone, then by row. Zones in the order of their best
    seats."""
    rows: list[list[ChartSeat]] = []
    for seat in seats:
        last = rows[-1][-1] if rows else None
        if last and last.seat + 1 == seat.seat and _label(last) == _label(seat):
            rows[-1].append(seat)
        else:
            rows.append([seat])
    zones: dict[str, int] = {}
    for row in rows:
        zones.setdefault(row[0].zone, len(zones))
    rows.sort(key=lambda row: (zones[row[0].zone], len(row[0].row), row[0].row, row[0].seat))
    return rows


def _label(seat: ChartSeat) -> tuple[str, str, str, bool]:
    return seat.zone, seat.row, seat.printed_row, seat.standing


def _choose_unit(rows: list[list[ChartSeat]]) -> float:
    """1, 2 or 5 times a power of ten, at most a twentieth of the usual step between neighbours."""
    steps = [math.hypot(b.x - a.x, b.y - a.y) for row in rows for a, b in pairwise(row)]
    usual = median([step for step in steps if step > 0] or [UNITS_A_STEP])
    wanted = max(usual / UNITS_A_STEP, 0.001) * 1.000001
    power = 10.0 ** math.floor(math.log10(wanted))
    factor = max(f for f in (1, 2, 5) if f * power <= wanted or f == 1)
    return float(f"{factor * power:.6g}")


def _fit(places: Sequence[float]) -> Curve | None:
    """The curve through the ends and the middle, if no place is further from it than a unit."""
    last = len(places) - 1
    start, end = round(places[0]), round(places[-1])
    if last >= MOST_ON_A_CURVE or abs(end - start) > FURTHEST:
        return None
    middle = last // 2
    bow = 0
    if last > 1:
        off = places[middle] - start - (end - start) * middle / last
        bow = round(off * last * last / (middle * (last - middle)))
    curve = Curve(start, end - start, bow)
    if abs(bow) > FURTHEST:
        return None
    fits = all(abs(curve.at(i, last) - place) <= 1 for i, place in enumerate(places))
    return curve if fits else None


def _series(numbers: list[str]) -> tuple[int, int] | None:
    """First number and step of printed numbers that are a series of integers."""
    if not all(text.isascii() and text.isdigit() for text in numbers):
        return None
    if any(len(text) > LONGEST_NUMBER or str(int(text)) != text for text in numbers):
        return None
    values = [int(text) for text in numbers]
    step = values[1] - values[0] if len(values) > 1 else 1
    return (values[0], step) if all(b - a == step for a, b in pairwise(values)) else None


def _deltas(values: Iterable[int]) -> list[int]:
    """Each value less the one before; the first one as it is."""
    return list(_differences(values))


def _differences(values: Iterable[int]) -> Iterator[int]:
    before = 0
    for value in values:
        yield value - before
        before = value


def _runs(values: Iterable[int]) -> list[int]:
    """Values that follow each other: [value, how often, value, how often, …]."""
    runs: list[int] = []
    for value, members in groupby(values):
        runs += [value, sum(1 for _ in members)]
    return runs
