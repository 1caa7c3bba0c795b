"""Reading of plan files: a bad file is refused with all its problems, a good one's seats numbered.

**The format** is the open JSON of pretix's free seating editor (its `seating-plan.schema.json`):

    {name, size {width, height}, categories [{name, color}],
     zones [{name, position, rows [{row_number, row_label, position, seats [
         {seat_guid, seat_number, category, position {x, y}}]}]}]}

The position of a seat is the sum of the zone's, the row's and its own; its `category` is the name
of a category. pretix refuses unknown keys. Usher ignores them (`uuid`, `radius`, `areas`, newer
ones), so that files of a later editor can be read. Sizes, colours, positions and the names of
zones, rows and seats may be missing, because plans of real venues lack them; numbers may be
integers. Guids, categories and the lists must be there: a misspelt `seats` would silently lose
seats.

**Usher's extensions**, all optional:

- plan `"focal_point": {x, y}`: the stage, in the plan's coordinates; it ranks the seats (see
  below). A plan without one gets the point that its drawing tells (focal_points.py);
- zone or row `"general_admission": true`: standing places, without numbers (a row overrules its
  zone);
- seat or category `"accessible": true`: places for wheelchairs; `"companion": true`: the seats
  beside them, for companions; `"restricted_view": true`. A seat's own flag decides, then its
  category's, then what the category's name says (category_names.py), unless the import was told
  to guess nothing;
- row `"row_label"`: how the row is printed, with %s for its number: "Table %s".

**Numbers of seats.** "Best available together" looks for runs of consecutive integers. Therefore
`Seat.seat` says which seats are neighbours and which are better. The numbers are made from this
plan alone: in another version of it the same integer is another seat.

- two seats are consecutive if and only if they are neighbours: same zone and row, and no aisle
  between them. An aisle is a step along the row above `AISLE` times the row's usual step. Printed
  numbers (1 3 5 | 2 4 6, 7bis, serpentines), categories and flags have no influence. Rows that are
  not drawn (positions missing, or all on one point) have the order of the file. The standing places
  of one zone and category are one run, in however many rows they are drawn;
- between two runs at least one integer stays unused;
- within a category a lower number is better. Runs are ranked by the distance of their middle to the
  focal point. Without one they have the order of the file (zones, then rows by number, if all have
  one); in a row the middle comes first. Categories have their numbers together, unless a run has
  seats of two.

Guids, names, printed numbers and the order of the seats in a drawn row have no influence; the
numbers of rows only where the plan has no focal point.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from statistics import median_low
from typing import Any, NamedTuple, TypedDict

from db.catalogue.category_names import Flags, guess_flags
from db.catalogue.focal_points import DrawnRow, FocalPoint, find_focal_point, is_stage, order_of
from db.presentation.texts import UNSTORABLE, TextError, read_line

AISLE = 1.6  # in real venues one missing seat makes a step of 2.0; curves stay below 1.2
LOOSEST = 2.0  # a row's usual step is at most this many of its zone's usual steps
MAX_BYTES = 64 * 2**20  # 200,000 seats as the editor writes them are about 50 MiB
MAX_SEATS = 200_000  # no stadium has more
MAX_ROWS = 50_000
MAX_CATEGORIES = 200
MAX_CONTAINERS = 600_000  # lists and objects: real plans have 2.2 a seat
MAX_VALUES = 2_400_000  # real plans have 5 to 8 a seat
MAX_TEXT = 200
MAX_COORDINATE = 1_000_000
MAX_ERRORS = 100

Tell = Callable[[int], None]
"""Is told how many seats are done: often, so that long work can be stopped or shown."""


_Point = tuple[float, float]  # (x, y), y downwards


class Problem(TypedDict):
    """A reason to refuse a plan: where it is (`zones[0].rows[2].seats[5].category`), and why."""

    path: str
    message: str


class PlanError(ValueError):
    """The plan cannot be used. `errors` says why: at most MAX_ERRORS, and how many more."""

    def __init__(self, errors: list[Problem]) -> None:
        super().__init__("; ".join(f"{error['path']} {error['message']}" for error in errors))
        self.errors = errors


class Category(NamedTuple):
    """A price level; `color` is the text in the plan, or ""."""

    name: str
    color: str


class Guessed(NamedTuple):
    """What the name of a category was taken for, by so many seats; `doubt`: see Guess."""

    category: int
    flags: Flags
    doubt: str
    seats: int


class UnknownKey(NamedTuple):
    """A key that no reader knows: how often, where first, and which may be meant, or ""."""

    key: str
    times: int
    path: str
    meant: str


class Seat(NamedTuple):
    """One seat or standing place; see the module's docstring for `seat`.

    `category` is an index into `Plan.categories`; `x` and `y` are in the plan's units, y downwards.
    `centre` is the signed offset from the middle of its whole row, in seats: of four, -1 0 0 1.
    Standing places have `number` "" and `centre` 0. `row_label`: how the row is printed, or "".
    """

    seat: int
    guid: str
    zone: str
    row: str
    number: str
    category: int
    accessible: bool
    restricted: bool
    x: float
    y: float
    centre: int
    companion: bool
    general_admission: bool
    row_label: str = ""


@dataclass(frozen=True)
class Plan:
    """A plan as read. `size` is (width, height) in its own units, of the seats if the plan says
    none (`sized`); `seats` ascend by `Seat.seat`."""

    name: str
    size: tuple[float, float]
    categories: list[Category]
    seats: list[Seat]
    focus: FocalPoint | None = None
    sized: bool = False
    guessed: list[Guessed] = field(default_factory=list)
    unknown: list[UnknownKey] = field(default_factory=list)


def tell_nothing(seats: int) -> None:
    """The listener of work that shows no progress."""


def read_plan(
    source: bytes | dict[str, Any], *, guess: bool = True, tell: Tell = tell_nothing
) -> Plan:
    """Read a plan and number its seats. source: the bytes of a file, or parsed JSON; guess: seats
    without flags get those that the name of their category implies; tell: is told how many seats
    are read.

    Errors: PlanError.
    """
    reader = _Reader(guess, tell)
    document = _load(source, reader) if isinstance(source, bytes) else source
    draft = reader.plan(document)
    if reader.errors:
        raise PlanError(reader.errors_and_remainder())
    for row in draft.rows:
        tell(reader.seats)
        if not row.standing:
            _walk(row)
    focus = draft.focus or find_focal_point([_drawn(row) for row in draft.rows if _is_drawn(row)])
    seats = _number_seats(draft, focus)
    size = draft.size or _extent(seats)
    sized, found = draft.size is not None, (reader.list_guessed(), reader.list_unknown())
    return Plan(draft.name, size, draft.categories, seats, focus, sized, *found)


_POINT = {"x": None, "y": None}
_FLAGS = ("accessible", "companion", "restricted_view")
_SEAT = dict.fromkeys(("seat_guid", "seat_number", "category", *_FLAGS)) | {"position": _POINT}
_CATEGORY = dict.fromkeys(("name", "color", *_FLAGS))
_ROW = dict.fromkeys(("row_number", "row_label", "general_admission"))
_ZONE = dict.fromkeys(("name", "general_admission"))
READ: dict[str, Any] = {
    "name": None,
    "size": {"width": None, "height": None},
    "focal_point": _POINT,
    "categories": _CATEGORY,
    "zones": _ZONE | {"position": _POINT, "rows": _ROW | {"position": _POINT, "seats": _SEAT}},
}
"""The keys of a plan that are read; for lists those of their items."""


def keep_read(document: Any, keys: dict[str, Any] | None = READ) -> Any:
    """Return a plan's document with only the keys that are read: the other ones can be large."""
    if keys is None:
        return document
    if isinstance(document, list):
        return [keep_read(item, keys) for item in document]
    if not isinstance(document, dict):
        return document
    return {key: keep_read(document[key], keys[key]) for key in keys if key in document}


_UNREAD = {
    "plan": ("version", "uuid", "backgroundImage", "background_image", "background"),
    "categories": ("uuid",),
    "zones": ("uuid", "zone_id", "areas", "rotation"),
    "rows": ("uuid", "row_number_position", "row_id", "rotation", "skip_letters"),
    "seats": ("uuid", "radius", "start_direction", "seat_label", "rotation"),
}
_KNOWN = {
    "plan": frozenset(("name", "size", "focal_point", "categories", "zones", *_UNREAD["plan"])),
    "categories": frozenset((*_CATEGORY, *_UNREAD["categories"])),
    "zones": frozenset((*_ZONE, "position", "rows", *_UNREAD["zones"])),
    "rows": frozenset((*_ROW, "position", "seats", *_UNREAD["rows"])),
    "seats": frozenset((*_SEAT, *_UNREAD["seats"])),
}
"""The keys that are read, and those that the editor writes for itself."""
MEANT = {
    "accessible": (
        "wheelchair",
        "wheelchairs",
        "disabled",
        "handicap",
        "handicapped",
        "is_wheelchair",
    ),
    "companion": ("carer", "attendant", "accompanying"),
    "restricted_view": ("restricted", "obstructed", "obstructed_view", "limited_view"),
    "general_admission": ("standing", "ga", "free_seating"),
    "focal_point": ("stage", "focus", "focal", "focalpoint"),
}
"""Words that are written for a key of ours."""
MAX_UNKNOWN = 100


# Reading: makes drafts of rows and notes all problems.


class _Place(NamedTuple):
    """A seat as read; `drawn`: it has a position of its own."""

    guid: str
    number: str
    category: int
    accessible: bool
    companion: bool
    restricted: bool
    x: float
    y: float
    drawn: bool


@dataclass
class _Row:
    """A row as read. After `_walk`, `steps[i]` is the distance from `places[i]` to the next one."""

    zone: int
    zone_name: str
    name: str
    label: str
    standing: bool
    places: list[_Place]
    steps: list[float] = field(default_factory=list)


@dataclass
class _Draft:
    name: str
    size: _Point | None
    focus: FocalPoint | None
    categories: list[Category]
    rows: list[_Row]


def find_excess(source: bytes) -> Iterator[Problem]:
    """Why a file is not even parsed: it is too large, or has too many parts. It takes some
    milliseconds: a list that costs three bytes in a file costs sixty in memory. Signs within texts
    count, too; plans have few."""
    if len(source) > MAX_BYTES:
        yield {"path": "plan", "message": f"is larger than {MAX_BYTES // 2**20} MiB"}
    elif (
        source.count(b"[") + source.count(b"{") > MAX_CONTAINERS or source.count(b",") > MAX_VALUES
    ):
        message = "has too many parts: it describes more than any venue has"
        yield {"path": "plan", "message": message}


def _load(source: bytes, reader: "_Reader") -> Any:
    """Parse the JSON; None, with a problem noted, if it is not valid."""
    for problem in find_excess(source):
        reader.note(**problem)
        return None
    try:
        return json.loads(source)
    except RecursionError:
        reader.note("plan", "is not a seating plan: it is nested too deeply")
    except ValueError as error:  # not JSON, not UTF-8, or an integer of thousands of digits
        reader.note("plan", f"is not valid JSON: {error}")
    return None


class _Reader:
    """Reads a document once and notes each problem with its path."""

    def __init__(self, guess: bool, tell: Tell) -> None:
        self.guess = guess
        self.tell = tell
        self.errors: list[Problem] = []
        self.unlisted = 0
        self.seats = 0
        self.rows = 0
        self.guids: dict[str, str] = {}
        self.categories: dict[str, int] = {}
        self.flags: list[Flags] = []
        self.said: list[dict[str, bool]] = []  # of each category, by itself
        self.doubts: dict[int, str] = {}
        self.guesses: Counter[int] = Counter()
        self.unknown: dict[tuple[str, str], tuple[int, str]] = {}
        self.stage: _Point | None = None

    def note(self, path: str, message: str) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append({"path": path, "message": message})
        else:
            self.unlisted += 1

    def errors_and_remainder(self) -> list[Problem]:
        if not self.unlisted:
            return self.errors
        return [*self.errors, {"path": "plan", "message": f"has {self.unlisted:,} more problems"}]

    def plan(self, document: Any) -> _Draft:
        if not isinstance(document, dict):
            if not self.errors:
                self.note("plan", f"must be an object, not {_kind(document)}")
            return _Draft("", None, None, [], [])
        self.look(document, "plan", "")
        name = self.text(document, "name", "", required=True)
        size = self.size(document.get("size"))
        focus = self.point(document, "focal_point", "")
        categories = self.all_categories(document)
        rows = [
            row
            for number, zone in enumerate(self.items(document, "zones", ""))
            for row in self.zone(zone, number)
        ]
        if not self.seats and not self.errors:
            self.note("zones", "hold no seats")
        point, source = (focus, "plan") if focus else (self.stage, "stage")
        return _Draft(name, size, FocalPoint(*point, source) if point else None, categories, rows)

    def look(self, owner: dict[str, Any], level: str, path: str) -> None:
        """Count the keys that no reader knows."""
        if owner.keys() <= _KNOWN[level]:
            return
        for key in owner.keys() - _KNOWN[level]:
            count, first = self.unknown.get((level, key), (0, _join(path, key)))
            if count or len(self.unknown) < MAX_UNKNOWN:
                self.unknown[level, key] = (count + 1, first)

    def list_unknown(self) -> list[UnknownKey]:
        return [
            UnknownKey(
                _storable(key[:MAX_TEXT]),
                count,
                _storable(path[: 2 * MAX_TEXT]),
                _meant(key, level),
            )
            for (level, key), (count, path) in sorted(self.unknown.items())
        ]

    def list_guessed(self) -> list[Guessed]:
        categories = sorted(self.guesses.keys() | self.doubts.keys())
        return [
            Guessed(n, self.flags[n], self.doubts.get(n, ""), self.guesses[n]) for n in categories
        ]

    def size(self, value: Any) -> _Point | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            self.note("size", f"must be an object with width and height, not {_kind(value)}")
            return None
        width = self.number(value.get("width"), "size.width")
        height = self.number(value.get("height"), "size.height")
        for key, length in (("width", width), ("height", height)):
            if length is not None and length < 0:
                self.note(f"size.{key}", "must not be negative")
        return (width or 0.0, height or 0.0)

    def all_categories(self, document: dict[str, Any]) -> list[Category]:
        found: list[Category] = []
        items = self.items(document, "categories", "")
        if len(items) > MAX_CATEGORIES:
            self.note("categories", f"are {len(items):,}: more than {MAX_CATEGORIES}")
        for number, item in enumerate(items[:MAX_CATEGORIES]):
            path = f"categories[{number}]"
            if not isinstance(item, dict):
                self.note(path, f"must be an object, not {_kind(item)}")
                continue
            category = Category(
                self.text(item, "name", path, required=True), self.text(item, "color", path)
            )
            if category.name and category.name in self.categories:
                self.note(f"{path}.name", f"{category.name!r} names a category above, too")
            self.categories.setdefault(category.name, len(found))
            found.append(category)
            self.look(item, "categories", path)
            self.read_flags(item, category.name, len(found) - 1, path)
        return found

    def read_flags(self, item: dict[str, Any], name: str, number: int, path: str) -> None:
        """What a category says of its seats; what it does not say, its name may."""
        said = {
            flag: self.flag(item, flag, path, False)
            for flag in _FLAGS
            if item.get(flag) is not None
        }
        guess = guess_flags(name)
        if guess.doubt and len(said) < len(_FLAGS):
            self.doubts[number] = guess.doubt
        flags = guess.flags if self.guess else Flags()
        self.said.append(said)
        self.flags.append(
            Flags(*(said.get(flag, value) for flag, value in zip(_FLAGS, flags, strict=True)))
        )

    def find_stage(self, zone: dict[str, Any], origin: _Point) -> None:
        """The middle of the first area that is called stage. Areas are not checked: they are only
        drawn."""
        areas = zone.get("areas")
        for area in areas if isinstance(areas, list) and not self.stage else ():
            text = area.get("text") if isinstance(area, dict) else None
            named = text.get("text") if isinstance(text, dict) else None
            if isinstance(named, str) and is_stage(named[:MAX_TEXT]):
                self.stage = _middle_of(area, origin)

    def zone(self, zone: Any, number: int) -> Iterator[_Row]:
        path = f"zones[{number}]"
        if not isinstance(zone, dict):
            self.note(path, f"must be an object, not {_kind(zone)}")
            return
        name = self.text(zone, "name", path)
        self.look(zone, "zones", path)
        standing = self.flag(zone, "general_admission", path, False)
        origin = self.point(zone, "position", path) or (0.0, 0.0)
        self.find_stage(zone, origin)
        rows = self.items(zone, "rows", path)
        fits = self.fits(self.rows, len(rows), MAX_ROWS, f"{path}.rows")
        self.rows += len(rows)
        if not fits:
            return
        for index, row in enumerate(rows):
            row_path = f"{path}.rows[{index}]"
            if not isinstance(row, dict):
                self.note(row_path, f"must be an object, not {_kind(row)}")
                continue
            self.look(row, "rows", row_path)
            read = _Row(number, name, *self.row_name(row, row_path), standing, [])
            read.standing = self.flag(row, "general_admission", row_path, standing)
            read.places = self.places(row, row_path, origin)
            yield read

    def row_name(self, row: dict[str, Any], path: str) -> tuple[str, str]:
        """The row's number, or else its label; and its label, in which %s stands for the number."""
        name = self.text(row, "row_number", path, number=True)
        label = self.text(row, "row_label", path).replace("%s", name).strip()
        if len(label) > MAX_TEXT:
            self.note(f"{path}.row_label", f"is longer than {MAX_TEXT} characters")
        return name or label, label

    def places(self, row: dict[str, Any], path: str, origin: _Point) -> list[_Place]:
        dx, dy = self.point(row, "position", path) or (0.0, 0.0)
        origin = (origin[0] + dx, origin[1] + dy)
        seats = self.items(row, "seats", path)
        fits = self.fits(self.seats, len(seats), MAX_SEATS, f"{path}.seats")
        self.seats += len(seats)
        self.tell(self.seats)
        if not fits:
            return []
        places = (
            self.place(seat, f"{path}.seats[{index}]", origin) for index, seat in enumerate(seats)
        )
        return [place for place in places if place]

    def place(self, seat: Any, path: str, origin: _Point) -> _Place | None:
        if not isinstance(seat, dict):
            self.note(path, f"must be an object, not {_kind(seat)}")
            return None
        self.look(seat, "seats", path)
        point = self.point(seat, "position", path)
        x, y = point or (0.0, 0.0)
        category = self.category(seat, path)
        return _Place(
            self.guid(seat, path),
            self.text(seat, "seat_number", path, number=True),
            category,
            *self.seat_flags(seat, category, path),
            round(origin[0] + x, 3),
            round(origin[1] + y, 3),
            point is not None,
        )

    def seat_flags(self, seat: dict[str, Any], category: int, path: str) -> Flags:
        """The seat's own flags, or else those of its category."""
        known = self.flags[category] if category >= 0 else Flags()
        if seat.keys().isdisjoint(_FLAGS) and not any(known):
            return known
        if any(known) and any(
            value and flag not in self.said[category] and seat.get(flag) is None
            for flag, value in zip(_FLAGS, known, strict=True)
        ):
            self.guesses[category] += 1
        return Flags(
            *(self.flag(seat, flag, path, value) for flag, value in zip(_FLAGS, known, strict=True))
        )

    def category(self, seat: dict[str, Any], path: str) -> int:
        """The index of the seat's category; -1 if the plan does not know it."""
        name = self.text(seat, "category", path, required=True)
        index = self.categories.get(name, -1)
        if index < 0 and name:
            self.note(f"{path}.category", f"{name!r} is not among the plan's categories")
        return index

    def guid(self, seat: dict[str, Any], path: str) -> str:
        named = self.text(seat, "seat_guid", path, required=True)
        guid = str(seat["seat_guid"]) if named else ""  # as it stands there: clients repeat it
        if guid != guid.strip():  # texts in requests are trimmed
            self.note(f"{path}.seat_guid", "must not begin or end with spaces")
        first = self.guids.setdefault(guid, path)
        if guid and first != path:
            self.note(f"{path}.seat_guid", f"{guid!r} is also the guid of {first}")
        return guid

    def fits(self, count: int, more: int, limit: int, path: str) -> bool:
        """Tell whether `more` items stay within the limit; only the first excess is a problem."""
        if count <= limit < count + more:
            self.note(path, f"exceed what a plan may hold, {limit:,} of them")
        return count + more <= limit

    # The value of one key each. For a wrong value they note a problem and return a harmless one.

    def items(self, owner: dict[str, Any], key: str, path: str) -> list[Any]:
        value = owner.get(key)
        if isinstance(value, list):
            return value
        self.note(_join(path, key), "is missing" if value is None else _must_be("a list", value))
        return []

    def text(
        self,
        owner: dict[str, Any],
        key: str,
        path: str,
        *,
        required: bool = False,
        number: bool = False,
    ) -> str:
        """The text under `key`, or ""; `number`: an integer is allowed as well."""
        value = owner.get(key)
        if number and type(value) is int and value.bit_length() <= 64:
            return str(value)
        if value is None or value == "":
            if required:
                self.note(_join(path, key), "is missing" if value is None else "is empty")
            return ""
        if not isinstance(value, str):
            self.note(_join(path, key), _must_be("text", value))
        elif len(value) > MAX_TEXT:
            self.note(_join(path, key), f"is longer than {MAX_TEXT} characters")
        elif not value.isprintable() and UNSTORABLE.search(value):
            self.note(_join(path, key), "contains a character that cannot be stored")
        else:
            return self.line(value, _join(path, key), required=required)
        return ""

    def line(self, value: str, path: str, *, required: bool) -> str:
        """The text as it is kept (db/presentation/texts.py), or ""."""
        try:
            text = read_line(value)
        except TextError as error:
            message = str(error).rstrip(".")
            self.note(path, message[:1].lower() + message[1:])
            return ""
        if required and not text:
            self.note(path, "is empty")
        return text

    def flag(self, owner: dict[str, Any], key: str, path: str, default: bool) -> bool:
        value = owner.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.note(_join(path, key), _must_be("true or false", value))
        return value is True

    def point(self, owner: dict[str, Any], key: str, path: str) -> _Point | None:
        value = owner.get(key)
        if value is None:
            return None
        path = _join(path, key)
        if not isinstance(value, dict):
            self.note(path, _must_be("an object with x and y", value))
            return None
        x = self.number(value.get("x"), f"{path}.x")
        y = self.number(value.get("y"), f"{path}.y")
        return None if x is None or y is None else (x, y)

    def number(self, value: Any, path: str) -> float | None:
        if type(value) is not float and type(value) is not int:
            self.note(path, "is missing" if value is None else _must_be("a number", value))
        elif not -MAX_COORDINATE <= value <= MAX_COORDINATE:  # NaN is not either
            self.note(path, f"must be between -{MAX_COORDINATE:,} and {MAX_COORDINATE:,}")
        else:
            return float(value)
        return None


def _storable(key: str) -> str:
    """A key that is only told of, without what no database keeps."""
    return UNSTORABLE.sub("\ufffd", key)


def _meant(key: str, level: str) -> str:
    """The key of ours that a misspelt one may mean, or ""."""
    word = key.casefold().replace("-", "_")
    for ours, words in MEANT.items():
        if ours in _KNOWN[level] and word in (ours, *words):
            return ours
    close = get_close_matches(word[:MAX_TEXT], _KNOWN[level], 1, 0.75)
    return close[0] if close else ""


def _middle_of(area: dict[str, Any], origin: _Point) -> _Point | None:
    """The middle of an area; None if it has no position."""

    def lengths(key: str, *names: str) -> list[float] | None:
        item = area.get(key)
        values: list[Any] = [item.get(name) for name in names] if isinstance(item, dict) else []
        numbers = [float(v) for v in values if type(v) in (int, float) and abs(v) <= MAX_COORDINATE]
        return numbers if len(numbers) == len(names) else None

    at = lengths("position", "x", "y")
    width, height = lengths("rectangle", "width", "height") or (0.0, 0.0)
    return (origin[0] + at[0] + width / 2, origin[1] + at[1] + height / 2) if at else None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _must_be(wanted: str, value: Any) -> str:
    return f"must be {wanted}, not {_kind(value)}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


# Numbering: orders the seats of each row, cuts it at aisles into runs, and ranks the runs.


class _Run(NamedTuple):
    """Neighbours: `places[i]` of each (row, i). The lowest `rank` is best."""

    rank: tuple[float, ...]
    members: list[tuple[_Row, int]]


def _number_seats(draft: _Draft, focus: FocalPoint | None) -> list[Seat]:
    usual = _usual_steps(draft.rows)
    found = [run for row in draft.rows for run in _cut(row, usual.get(row.zone, 0.0))]
    found += _standing_areas(draft.rows)
    first = _first_categories(found, len(draft.categories))
    order = _row_order(draft.rows, by_number=focus is None)
    runs = [_Run(_rank(members, first, order, focus), members) for members in found]
    seats: list[Seat] = []
    following = 1
    for run in sorted(runs, key=lambda run: run.rank):
        seats += [_seat_of(row, i, seat) for seat, (row, i) in enumerate(run.members, following)]
        following += len(run.members) + 1
    return seats


def _is_drawn(row: _Row) -> bool:
    return bool(row.places) and all(place.drawn for place in row.places)


def _drawn(row: _Row) -> DrawnRow:
    return DrawnRow(row.zone, row.name, [(place.x, place.y) for place in row.places])


def _first_categories(found: list[list[tuple[_Row, int]]], categories: int) -> list[int]:
    """For each category the first of those that it shares runs with, one after the other."""
    first = list(range(categories))

    def head(category: int) -> int:
        while first[category] != category:
            category = first[category]
        return category

    for members in found:
        heads = {head(c) for c in {row.places[i].category for row, i in members}}
        for other in heads:
            first[other] = min(heads)
    return [head(category) for category in range(categories)]


def _row_order(rows: list[_Row], *, by_number: bool) -> dict[int, int]:
    """The place of each row in the file, by its id(); or by number in zones where all have one."""
    zones: dict[int, list[_Row]] = {}
    for row in rows:
        zones.setdefault(row.zone, []).append(row)
    ordered: list[_Row] = []
    for members in zones.values():
        ranks = order_of([row.name for row in members]) if by_number else None
        ordered += [members[i] for i in _by(ranks)] if ranks else members
    return {id(row): n for n, row in enumerate(ordered)}


def _by(ranks: list[int]) -> list[int]:
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def _walk(row: _Row) -> None:
    """Put the places of a drawn row in the order of a walk along it, from the left end.

    It tries the order of the file, along the longest extent, around the middle (horseshoes, rows
    round a corner) and line by line (blocks drawn as one row), and takes the shortest walk.
    """
    places = row.places
    if not all(place.drawn for place in places):
        row.steps = [0.0] * (len(places) - 1)
        return
    walks = [[places[i] for i in order] for order in _orders([(p.x, p.y) for p in places])]
    lengths = [[math.hypot(b.x - a.x, b.y - a.y) for a, b in pairwise(walk)] for walk in walks]
    best = min(range(len(walks)), key=lambda i: round(sum(lengths[i]), 3))
    row.places, row.steps = walks[best], lengths[best]
    if places and _from_right(row.places[0], row.places[-1]):
        row.places.reverse()
        row.steps.reverse()


def _orders(points: list[_Point]) -> Iterator[Sequence[int]]:
    yield range(len(points))
    if len(points) < 3:
        return
    mx = sum(x for x, _ in points) / len(points)
    my = sum(y for _, y in points) / len(points)
    turn = 0.5 * math.atan2(
        2 * sum((x - mx) * (y - my) for x, y in points),
        sum((x - mx) ** 2 - (y - my) ** 2 for x, y in points),
    )
    dx, dy = math.cos(turn), math.sin(turn)
    yield _sorted(points, lambda point: point[0] * dx + point[1] * dy)
    yield from _around(points)
    yield _sorted(points, lambda point: (point[1], point[0]))
    yield _sorted(points, lambda point: point)


def _sorted(points: list[_Point], key: Callable[[_Point], Any]) -> list[int]:
    keys = [key(point) for point in points]
    return sorted(range(len(points)), key=keys.__getitem__)


def _around(points: list[_Point]) -> Iterator[list[int]]:
    """Order by angle from the middle, from the widest gap; no order if seats are inside."""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    mx, my, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    if any(abs(x - mx) < width / 4 and abs(y - my) < height / 4 for x, y in points):
        return
    angles = [math.atan2(y - my, x - mx) for x, y in points]
    order = sorted(range(len(points)), key=angles.__getitem__)
    gaps = [(angles[b] - angles[a]) % math.tau for a, b in pairwise([*order, order[0]])]
    start = gaps.index(max(gaps)) + 1
    yield order[start:] + order[:start]


def _from_right(first: _Place, last: _Place) -> bool:
    return (round(first.x), round(first.y)) > (round(last.x), round(last.y))


def _usual_steps(rows: list[_Row]) -> dict[int, float]:
    """The median step between seats, by zone; two seats on one point make no step."""
    steps: dict[int, list[float]] = {}
    for row in rows:
        steps.setdefault(row.zone, []).extend(step for step in row.steps if step > 0)
    return {zone: median_low(found) for zone, found in steps.items() if found}


def _cut(row: _Row, usual: float) -> Iterator[list[tuple[_Row, int]]]:
    """Cut a row of seats into runs at its aisles; `usual` is its zone's usual step."""
    if row.standing or not row.places:
        return
    steps = [step for step in row.steps if step > 0]
    if len(steps) > 2:  # with two or three seats a usual step cannot be told from an aisle
        usual = min(median_low(steps), LOOSEST * usual)
    start = 0
    for i, step in enumerate(row.steps, 1):
        if step > AISLE * usual:
            yield [(row, n) for n in range(start, i)]
            start = i
    yield [(row, n) for n in range(start, len(row.places))]


def _standing_areas(rows: list[_Row]) -> list[list[tuple[_Row, int]]]:
    """The standing places of each zone and category."""
    areas: dict[tuple[int, int], list[tuple[_Row, int]]] = {}
    for row in rows:
        for i, place in enumerate(row.places if row.standing else ()):
            areas.setdefault((row.zone, place.category), []).append((row, i))
    return list(areas.values())


def _rank(
    members: list[tuple[_Row, int]],
    first: list[int],
    order: dict[int, int],
    focus: FocalPoint | None,
) -> tuple[float, ...]:
    """Category, distance to the focus, row, distance to the middle of the row."""
    places = [row.places[i] for row, i in members]
    distance = 0.0
    if focus:
        x = sum(place.x for place in places) / len(places)
        y = sum(place.y for place in places) / len(places)
        distance = round(math.hypot(x - focus.x, y - focus.y), 3)
    row, start = members[0]
    from_middle = abs(start + members[-1][1] - len(row.places) + 1)
    return (first[places[0].category], distance, order[id(row)], from_middle, start)


def _seat_of(row: _Row, i: int, seat: int) -> Seat:
    place, last = row.places[i], len(row.places) - 1
    return Seat(
        seat=seat,
        guid=place.guid,
        zone=row.zone_name,
        row=row.name,
        number="" if row.standing else place.number,
        category=place.category,
        accessible=place.accessible,
        restricted=place.restricted,
        x=place.x,
        y=place.y,
        centre=0 if row.standing else int((2 * i - last) / 2),
        companion=place.companion,
        general_admission=row.standing,
        row_label=row.label,
    )


def _extent(seats: list[Seat]) -> tuple[float, float]:
    return (max(seat.x for seat in seats), max(seat.y for seat in seats))
