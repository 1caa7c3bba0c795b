"""What an import understood of a plan: counts, the focal point, guesses, and warnings.

A warning is about a plan that can be used and may not be meant so. Strict imports refuse it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any, NamedTuple

from db.catalogue.seating import Plan, PlanError, Problem, Seat

EXAMPLES = 20
"""Guids that a warning or a change names at most."""
LISTED = 500
"""Guids of a change that are listed at most."""
SAME_PLACE = 1.0
"""How far a seat may be from where it was, in the plan's units, and not have moved."""


def report_plan(plan: Plan) -> dict[str, Any]:
    """What was understood: {counts, focal_point, zones, guesses, warnings}."""
    return {
        "counts": count_kinds(plan),
        "focal_point": plan.focus._asdict() if plan.focus else None,
        "zones": _describe_zones(plan),
        "guesses": _describe_guesses(plan),
        "warnings": list(find_warnings(plan)),
    }


def refuse_warnings(plan: Plan) -> None:
    """Errors: PlanError, with every warning."""
    problems: list[Problem] = [
        {"path": warning["path"], "message": warning["message"]} for warning in find_warnings(plan)
    ]
    if problems:
        raise PlanError(problems)


def count_kinds(plan: Plan) -> dict[str, int]:
    seats = plan.seats
    return {
        "seats": len(seats),
        "accessible": sum(seat.accessible for seat in seats),
        "companion": sum(seat.companion for seat in seats),
        "restricted_view": sum(seat.restricted for seat in seats),
        "standing": sum(seat.general_admission for seat in seats),
    }


def _describe_zones(plan: Plan) -> list[dict[str, Any]]:
    """Zones of one name are one here, as they are on tickets."""
    rows: dict[str, dict[str, None]] = defaultdict(dict)
    seats: Counter[str] = Counter()
    for seat in plan.seats:
        rows[seat.zone][seat.row] = None
        seats[seat.zone] += 1
    return [
        {"name": name, "seats": seats[name], "rows": len(found), "best_row": next(iter(found))}
        for name, found in rows.items()
    ]


def _describe_guesses(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "category": guess.category + 1,
            "name": plan.categories[guess.category].name,
            "accessible": guess.flags.accessible,
            "companion": guess.flags.companion,
            "restricted_view": guess.flags.restricted,
            "seats": guess.seats,
            "doubt": guess.doubt or None,
        }
        for guess in plan.guessed
    ]


def find_warnings(plan: Plan) -> Iterator[dict[str, Any]]:
    """[{kind, path, message, seats}]; seats: the guids of some of those that it is about."""
    yield from _doubled_labels(plan)
    yield from _unknown_keys(plan)
    yield from _focal_point(plan)
    yield from _empty_categories(plan)
    yield from _seats_outside(plan)
    yield from _seats_on_one_point(plan)
    yield from _guessed_flags(plan)
    yield from _lonely_companions(plan)


def _warning(kind: str, path: str, message: str, seats: Iterable[Seat] = ()) -> dict[str, Any]:
    guids = [seat.guid for seat in list(seats)[:EXAMPLES]]
    return {"kind": kind, "path": path, "message": message, "seats": guids}


def printed_place(seat: Seat) -> tuple[str, str, str]:
    """What a ticket says of a seat."""
    return seat.zone, seat.row_label or seat.row, seat.number


def _doubled_labels(plan: Plan) -> Iterator[dict[str, Any]]:
    places: dict[tuple[str, str, str], list[Seat]] = defaultdict(list)
    for seat in plan.seats:
        if not seat.general_admission:
            places[printed_place(seat)].append(seat)
    doubled = [(place, seats) for place, seats in places.items() if len(seats) > 1]
    for (zone, row, number), seats in doubled[:EXAMPLES]:
        where = f"zone {zone!r}, row {row!r}, seat {number!r}"
        message = f"are printed as one place: {where}, {len(seats)} seats"
        yield _warning("doubled_label", "zones", message, seats)
    if len(doubled) > EXAMPLES:
        message = f"hold {len(doubled) - EXAMPLES:,} more places that are printed alike"
        rest = [seat for _, seats in doubled[EXAMPLES:] for seat in seats]
        yield _warning("doubled_label", "zones", message, rest)


def _unknown_keys(plan: Plan) -> Iterator[dict[str, Any]]:
    for found in plan.unknown:
        meant = f"; is {found.meant!r} meant?" if found.meant else ""
        times = f", {found.times:,} times" if found.times > 1 else ""
        message = f"is not read{times}: no such key is known{meant}"
        yield _warning("unknown_key", found.path, message)


def _focal_point(plan: Plan) -> Iterator[dict[str, Any]]:
    if plan.focus is None:
        message = "is missing, and the plan is not drawn: the best seats are the first of the file"
        yield _warning("no_focal_point", "focal_point", message)
    elif plan.focus.source != "plan":
        where = f"({plan.focus.x:g}, {plan.focus.y:g})"
        message = f"is missing: the best seats are those near {where}, worked out from {{}}"
        told = {
            "stage": "an area with the name of a stage",
            "bends": "the bend of the rows",
            "rows": "the numbers of the rows",
            "middle": "the middle, since rows look in all directions",
        }[plan.focus.source]
        yield _warning("no_focal_point", "focal_point", message.format(told))


def _empty_categories(plan: Plan) -> Iterator[dict[str, Any]]:
    used = {seat.category for seat in plan.seats}
    for n, category in enumerate(plan.categories):
        if n not in used:
            message = f"{category.name!r} has no seats"
            yield _warning("empty_category", f"categories[{n}]", message)


def _seats_outside(plan: Plan) -> Iterator[dict[str, Any]]:
    width, height = plan.size
    outside = [seat for seat in plan.seats if not (0 <= seat.x <= width and 0 <= seat.y <= height)]
    if plan.sized and outside:
        message = f"is too small: {len(outside):,} seats are outside of {width:g} x {height:g}"
        yield _warning("outside_drawing", "size", message, outside)


def _seats_on_one_point(plan: Plan) -> Iterator[dict[str, Any]]:
    points: dict[tuple[float, float], list[Seat]] = defaultdict(list)
    for seat in plan.seats:
        if not seat.general_admission:
            points[seat.x, seat.y].append(seat)
    alike = [seat for seats in points.values() if len(seats) > 1 for seat in seats]
    if alike:
        message = f"hold {len(alike):,} seats that are drawn on the point of another"
        yield _warning("same_point", "zones", message, alike)


def _guessed_flags(plan: Plan) -> Iterator[dict[str, Any]]:
    for guess in plan.guessed:
        path = f"categories[{guess.category}]"
        name = plan.categories[guess.category].name
        if guess.doubt:
            message = (
                f"{name!r} was not taken for seats of a kind, since {guess.doubt}: "
                "say accessible, companion or restricted_view, true or false"
            )
        else:
            pairs = zip(("accessible", "companion", "restricted_view"), guess.flags, strict=True)
            kinds = ", ".join(kind for kind, is_meant in pairs if is_meant)
            message = f"{guess.seats:,} seats of {name!r} were taken for {kinds}, by the name"
        yield _warning("guessed_flags", path, message)


def _lonely_companions(plan: Plan) -> Iterator[dict[str, Any]]:
    seats = sorted(plan.seats, key=lambda seat: seat.seat)
    near = {*_companions_after_a_place(seats), *_companions_after_a_place(reversed(seats))}
    lonely = [
        seat
        for seat in plan.seats
        if seat.companion and not seat.accessible and seat.seat not in near
    ]
    if lonely:
        message = f"hold {len(lonely):,} companions' places without a wheelchair place beside them"
        yield _warning("lonely_companion", "zones", message, lonely)


def _companions_after_a_place(seats: Iterable[Seat]) -> Iterator[int]:
    """Companions' places that follow a wheelchair place, with none but such places between."""
    last, is_near = None, False
    for seat in seats:
        is_near = is_near and last is not None and abs(seat.seat - last) == 1
        if seat.accessible or not seat.companion:
            is_near = seat.accessible
        elif is_near:
            yield seat.seat
        last = seat.seat


# What another version changed


class StoredSeat(NamedTuple):
    """A seat of an earlier version; `category` is its name."""

    guid: str
    category: str
    zone: str
    row: str
    number: str
    x: float
    y: float
    flags: tuple[bool, ...]


def stored(plan: Plan) -> dict[str, StoredSeat]:
    """The seats of a plan by guid, as they are compared with those of an earlier version."""
    return {
        seat.guid: StoredSeat(
            seat.guid,
            plan.categories[seat.category].name,
            *printed_place(seat),
            seat.x,
            seat.y,
            (seat.accessible, seat.companion, seat.restricted, seat.general_admission),
        )
        for seat in plan.seats
    }


Seats = dict[str, StoredSeat]


def compare_seats(old: Seats, new: Seats) -> dict[str, dict[str, Any]]:
    """What stayed as it was, came, went, moved in the drawing, and was renamed or changed
    otherwise: {count, seats} of each; seats: guids, not all if they are many."""
    return {
        kind: {"count": len(guids), "seats": [] if kind == "stayed" else guids[:LISTED]}
        for kind, guids in _list_changes(old, new).items()
    }


def is_unrelated(old: Seats, new: Seats) -> bool:
    """Tell whether fewer than half of the seats are in both, at their place or under their name."""
    changes = _list_changes(old, new)
    strange = set(changes["moved"]) & set(changes["renamed"])
    known = sum(guid in new for guid in old) - len(strange)
    return known < min(len(old), len(new)) / 2


def _list_changes(old: Seats, new: Seats) -> dict[str, list[str]]:
    both = [guid for guid in old if guid in new]
    dx = median(new[guid].x - old[guid].x for guid in both) if both else 0.0
    dy = median(new[guid].y - old[guid].y for guid in both) if both else 0.0

    def has_moved(guid: str) -> bool:
        """A drawing that was moved as a whole moved no seat."""
        a, b = old[guid], new[guid]
        return abs(b.x - a.x - dx) > SAME_PLACE or abs(b.y - a.y - dy) > SAME_PLACE

    def is_renamed(guid: str) -> bool:
        return old[guid][2:5] != new[guid][2:5]

    def is_other(guid: str) -> bool:
        return (old[guid].category, old[guid].flags) != (new[guid].category, new[guid].flags)

    def which(test: Callable[[str], bool]) -> list[str]:
        return [guid for guid in both if test(guid)]

    moved, renamed, changed = which(has_moved), which(is_renamed), which(is_other)
    touched = {*moved, *renamed, *changed}
    return {
        "stayed": [guid for guid in both if guid not in touched],
        "came": [guid for guid in new if guid not in old],
        "went": [guid for guid in old if guid not in new],
        "moved": moved,
        "renamed": renamed,
        "changed": changed,
    }
