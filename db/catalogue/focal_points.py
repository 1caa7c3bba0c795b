"""The focal point of a plan that names none: where the stage is, as far as the drawing tells.

In this order: a drawn area that is called stage; rows that bend, whose ends are nearer to it than
their middle; and the direction in which the rows' numbers fall. Where zones look in all directions,
as around a field, it is the middle of all seats. A plan that is not drawn has none.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

Point = tuple[float, float]

BENT = 0.02  # of the row's chord: less is no bend
LONGEST_BEND = 3.0  # a longer way for its chord has a block that is drawn as one row
BENT_PART = 0.3  # of the rows must bend so that bends count
AGREED = 0.6  # the length of the mean direction above which a venue looks one way
BEFORE_THE_FIRST_ROW = 0.15  # of the seats' depth

_STAGE = re.compile(
    r"\b(stage|b(ü|ue)hne|sc(è|e)ne|escenario|palcoscenico|podium|toneel|scen[ae]?|n(ä|a)ytt(ä|a)m(ö|o)"
    r"|screen|leinwand|(é|e)cran|pantalla|schermo|sc(é|e)na|színpad|sahne)\b"
    r"|сцена|екран|экран|舞台|ステージ|무대",
    re.IGNORECASE,
)


class FocalPoint(NamedTuple):
    """source: `plan` (given there), `stage` (an area of that name), `bends`, `rows` or `middle`."""

    x: float
    y: float
    source: str


@dataclass(frozen=True)
class DrawnRow:
    """A row with a position for each of its places, in the order of a walk along it."""

    zone: int
    name: str
    points: Sequence[Point]

    @property
    def centre(self) -> Point:
        return fmean(x for x, _ in self.points), fmean(y for _, y in self.points)


def is_stage(text: str) -> bool:
    """Tell whether an area of this name is the stage or the screen."""
    return bool(_STAGE.search(text))


def find_focal_point(rows: Sequence[DrawnRow]) -> FocalPoint | None:
    """Work out a focal point from the rows of a plan."""
    if not rows:
        return None
    for source, directions in (("bends", list(_bends(rows))), ("rows", list(_falls(rows)))):
        weight = sum(math.hypot(*direction) for direction in directions)
        if not weight or (source == "bends" and len(directions) < BENT_PART * len(rows)):
            continue
        dx = sum(x for x, _ in directions) / weight
        dy = sum(y for _, y in directions) / weight
        if math.hypot(dx, dy) > AGREED:
            return _before(rows, (dx, dy), source)
        if source == "rows":
            return _middle(rows)
    return None


def order_of(names: Sequence[str]) -> list[int] | None:
    """The rank of each row by its name, the first row 0; None if the names have no order."""
    values = [_ordinal(name) for name in names]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(set(known)) < 2 or len({kind for kind, _ in known}) > 1:
        return None
    ranks = {value: rank for rank, value in enumerate(sorted(set(known)))}
    return [ranks[value] for value in known]


def _ordinal(name: str) -> tuple[int, int] | None:
    """7 and "Row 7" are seventh of numbers, C third of letters, AA comes after Z."""
    last = name.split()[-1] if name.split() else ""
    if last.isdecimal() and len(last) < 9:
        return 0, int(last)
    if re.fullmatch("[A-Za-z]{1,2}", last):
        letters = [ord(letter) - 64 for letter in last.upper()]
        return 1, letters[0] if len(letters) == 1 else 26 * letters[0] + letters[1]
    return None


def _bends(rows: Iterable[DrawnRow]) -> Iterable[Point]:
    """For each row that bends, the direction from its middle to the line between its ends."""
    for row in rows:
        if len(row.points) < 5:
            continue
        (ax, ay), (bx, by) = row.points[0], row.points[-1]
        chord = math.hypot(bx - ax, by - ay)
        mx, my = row.points[len(row.points) // 2]
        dx, dy = (ax + bx) / 2 - mx, (ay + by) / 2 - my
        # Only across the chord: the middle seat of an even row is not in its middle.
        across = (dx * (ay - by) + dy * (bx - ax)) / chord if chord else 0.0
        walk = sum(math.dist(a, b) for a, b in pairwise(row.points))
        if chord and abs(across) > BENT * chord and walk < LONGEST_BEND * chord:
            yield across / chord * (ay - by) / chord, across / chord * (bx - ax) / chord


def _falls(rows: Sequence[DrawnRow]) -> Iterable[Point]:
    """For each zone, the direction in which its rows' numbers fall, as long as it has places."""
    zones: dict[int, list[DrawnRow]] = {}
    for row in rows:
        zones.setdefault(row.zone, []).append(row)
    for members in zones.values():
        ranks = order_of([row.name for row in members]) or list(range(len(members)))
        middle = fmean(ranks)
        centres = [row.centre for row in members]
        dx = -sum((r - middle) * x for r, (x, _) in zip(ranks, centres, strict=True))
        dy = -sum((r - middle) * y for r, (_, y) in zip(ranks, centres, strict=True))
        length = math.hypot(dx, dy)
        if length > 1e-6:
            places = sum(len(row.points) for row in members)
            yield dx / length * places, dy / length * places


def _before(rows: Sequence[DrawnRow], direction: Point, source: str) -> FocalPoint:
    """The point before the first row, in the middle of the seats' width."""
    length = math.hypot(*direction)
    dx, dy = direction[0] / length, direction[1] / length
    points = [point for row in rows for point in row.points]
    along = [x * dx + y * dy for x, y in points]
    across = [-x * dy + y * dx for x, y in points]
    depth = max(along) - min(along) or 1.0
    a, c = max(along) + BEFORE_THE_FIRST_ROW * depth, (min(across) + max(across)) / 2
    return FocalPoint(round(a * dx - c * dy, 3), round(a * dy + c * dx, 3), source)


def _middle(rows: Sequence[DrawnRow]) -> FocalPoint:
    xs = [x for row in rows for x, _ in row.points]
    ys = [y for row in rows for _, y in row.points]
    return FocalPoint((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, "middle")
