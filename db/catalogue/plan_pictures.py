"""Pictures of plans as SVG: seats coloured by category, and by what is sold first."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any, TypedDict

from db.catalogue.focal_points import FocalPoint
from db.catalogue.seating import Plan

_COLOR = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
PALETTE = ("#7c4dff", "#00897b", "#ef6c00", "#8d6e63", "#c2185b", "#1e88e5", "#7cb342", "#fbc02d")
BEST, WORST = (0, 104, 55), (215, 48, 39)
MIDDLE = (255, 224, 139)
WIDTH = 900
HEAD = 60
"""Height of the title above each picture, in the SVG's units."""


class DrawnSeat(TypedDict):
    """A seat, the best first; category: from 1."""

    x: float
    y: float
    category: int
    name: str
    color: str
    accessible: bool
    companion: bool


def draw_plan(plan: Plan, shown: str = "both") -> bytes:
    """Draw a plan that was read: see draw_seats."""
    seats = [
        DrawnSeat(
            x=seat.x,
            y=seat.y,
            category=seat.category + 1,
            name=plan.categories[seat.category].name,
            color=plan.categories[seat.category].color,
            accessible=seat.accessible,
            companion=seat.companion,
        )
        for seat in plan.seats
    ]
    return draw_seats(plan.name, seats, plan.focus, shown)


def draw_seats(
    title: str, seats: Sequence[DrawnSeat], focus: FocalPoint | None, shown: str = "both"
) -> bytes:
    """An SVG of the seats in their order, best first. shown: `category`, `rank` (within each
    category) or `both`, one above the other. Wheelchair places are squares, companions' diamonds.
    """
    frame = _Frame(seats, focus)
    pictures = []
    if shown in ("category", "both"):
        heading = [("Categories", "#222"), *_legend(seats)]
        pictures.append((heading, [_category_color(seat) for seat in seats]))
    if shown in ("rank", "both"):
        heading = [("Sold first, in each category", _hex(BEST)), ("sold last", _hex(WORST))]
        pictures.append((heading, _rank_colors(seats)))
    height = len(pictures) * (frame.height + HEAD)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height:g}" fill="#fff"/>',
    ]
    for n, (heading, colors) in enumerate(pictures):
        parts.append(f'<g transform="translate(0 {n * (frame.height + HEAD):g})">')
        parts += [_heading(heading), *frame.draw(seats, colors), "</g>"]
    return "\n".join([*parts, "</svg>\n"]).encode()


class _Frame:
    """The scale of a picture, so that all seats and the focal point are in it."""

    def __init__(self, seats: Sequence[DrawnSeat], focus: FocalPoint | None) -> None:
        self.focus = focus
        xs = [seat["x"] for seat in seats] + ([focus.x] if focus else [])
        ys = [seat["y"] for seat in seats] + ([focus.y] if focus else [])
        self.left, self.top = min(xs), min(ys)
        wide, high = max(xs) - self.left or 1.0, max(ys) - self.top or 1.0
        self.scale = (WIDTH - 40) / max(wide, high)
        self.height = round(high * self.scale + 40, 1)
        self.radius = max(min((wide * high / len(seats)) ** 0.5 * self.scale * 0.3, 9.0), 0.8)

    def at(self, x: float, y: float) -> tuple[str, str]:
        left = (x - self.left) * self.scale + 20
        return f"{left:.1f}", f"{(y - self.top) * self.scale + HEAD + 20:.1f}"

    def draw(self, seats: Sequence[DrawnSeat], colors: Sequence[str]) -> list[str]:
        drawn = [self.mark(seat, color) for seat, color in zip(seats, colors, strict=True)]
        if self.focus:
            x, y = self.at(self.focus.x, self.focus.y)
            drawn.append(
                f'<circle class="focal" cx="{x}" cy="{y}" r="8" fill="none" stroke="#000"/>'
            )
        return drawn

    def mark(self, seat: DrawnSeat, color: str) -> str:
        x, y = self.at(seat["x"], seat["y"])
        r = f"{self.radius:.1f}"
        if not (seat["accessible"] or seat["companion"]):
            return f'<circle cx="{x}" cy="{y}" r="{r}" fill="{color}"/>'
        turn = "" if seat["accessible"] else " rotate(45)"
        side = f"{2 * self.radius:.1f}"
        return (
            f'<rect x="-{r}" y="-{r}" width="{side}" height="{side}" fill="{color}" stroke="#000" '
            f'stroke-width="0.8" transform="translate({x} {y}){turn}"/>'
        )


def _heading(words: Sequence[tuple[str, str]]) -> str:
    spans = "".join(
        f'<tspan fill="{color}" dx="14">{escape(word)}</tspan>' for word, color in words
    )
    return f'<text x="6" y="36" font-family="sans-serif" font-size="16">{spans}</text>'


def _legend(seats: Sequence[DrawnSeat]) -> list[tuple[str, str]]:
    found = {seat["category"]: seat for seat in seats}
    return [(found[n]["name"], _category_color(found[n])) for n in sorted(found)]


def _category_color(seat: DrawnSeat) -> str:
    """The plan's colour, if it is one that can stand in the picture."""
    if _COLOR.match(seat["color"]):
        return seat["color"]
    return PALETTE[(seat["category"] - 1) % len(PALETTE)]


def _rank_colors(seats: Sequence[DrawnSeat]) -> list[str]:
    sizes: dict[int, int] = {}
    places = []
    for seat in seats:
        place = sizes.get(seat["category"], 0)
        places.append(place)
        sizes[seat["category"]] = place + 1
    return [
        _shade(place / max(sizes[seat["category"]] - 1, 1))
        for seat, place in zip(seats, places, strict=True)
    ]


def _shade(part: float) -> str:
    first, second = (BEST, MIDDLE) if part < 0.5 else (MIDDLE, WORST)
    along = part * 2 % 1 if part < 1 else 1.0
    mixed = [round(a + (b - a) * along) for a, b in zip(first, second, strict=True)]
    return _hex((mixed[0], mixed[1], mixed[2]))


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def stored_focus(report: dict[str, Any]) -> FocalPoint | None:
    """The focal point in a version's report."""
    found = report.get("focal_point")
    return FocalPoint(**found) if found else None
