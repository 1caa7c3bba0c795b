"""The compact chart of a plan version, and which seats are free as bits: what a page draws at once.
The formats are described in ops/docs/chart.md."""

import gzip
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app, request
from marshmallow import fields
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from db.catalogue import charts
from db.catalogue.chart_columns import FORMAT
from db.catalogue.charts import FreeSeats
from db.connections import autocommit
from db.runtime.errors import NotFound
from web.api.events import public_events
from web.support.blueprint import Blueprint
from web.support.dumping import to_json
from web.support.fields import BIGGEST_ID, Answer, QueryInteger, Schema, StrictInteger
from web.support.snapshots import Snapshots

blp = Blueprint(
    "charts", __name__, url_prefix="/v1/events/<id:event_id>", description="The compact chart"
)

Integers = fields.List[int]
DELTAS = "each less the one before"


def _column(text: str, **more: Any) -> Integers:
    return fields.List(StrictInteger(least=-BIGGEST_ID, **more), metadata={"description": text})


def _runs(text: str) -> Integers:
    return _column(f"{text}, in runs: [value, how often, value, how often, …]")


class ChartCategory(Answer):
    """A category of the plan."""

    category = StrictInteger(metadata={"description": "its number"})
    name = fields.String(metadata={"description": "the category's name"})
    color = fields.String(metadata={"description": "as in the plan; empty: not given"})


class ChartZone(Answer):
    """Rows that follow each other."""

    name = fields.String(metadata={"description": "the zone's name; may be empty"})
    rows = StrictInteger(metadata={"description": "how many rows it has"})


class ChartRows(Answer):
    """Columns with a value for each row."""

    name = fields.List(fields.String(), metadata={"description": "the names of the rows"})
    label = fields.List(
        fields.String(), metadata={"description": "how rows are printed; empty: as their names"}
    )
    area = _runs("the areas")
    standing = _runs("1: standing places")
    length = _column("how many seats a row has")
    first = _column(f"the numbers of the first seats, {DELTAS}; those that follow count up")
    number = _column("the printed numbers of the first seats; null: see numbers", allow_none=True)
    number_step = _column("from a printed number to the next; null: see numbers", allow_none=True)
    numbers = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={
            "description": "printed numbers of rows whose numbers are no series, by the place of "
            "the row from 0; without number, and not here: nothing is printed"
        },
    )
    x = _column(f"x of the first seats, in units, {DELTAS}")
    span_x = _column(f"from the first seat to the last one, {DELTAS}")
    bow_x = _column(f"four times the middle's distance from the line, {DELTAS}")
    y = _column(f"y of the first seats, in units, {DELTAS}")
    span_y = _column(f"from the first seat to the last one, {DELTAS}")
    bow_y = _column(f"four times the middle's distance from the line, {DELTAS}")
    steps = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.List(StrictInteger(least=-BIGGEST_ID))),
        metadata={
            "description": "of rows that are no curves, by the place of the row from 0: "
            "[steps of x, steps of y] from seat to seat"
        },
    )


class CompactChart(Answer):
    """All seats of a plan version in columns."""

    format = StrictInteger(metadata={"description": "of this document: 1"})
    plan_version_id = StrictInteger()
    seats = StrictInteger(metadata={"description": "how many there are"})
    last_seat = StrictInteger(metadata={"description": "the highest number of a seat"})
    unit = fields.Float(metadata={"description": "of coordinates, in the plan's own"})
    categories = fields.List(
        fields.Nested(ChartCategory), metadata={"description": "by their numbers"}
    )
    zones = fields.List(fields.Nested(ChartZone), metadata={"description": "as rows follow"})
    rows = fields.Nested(ChartRows)
    category = _runs("the seats' categories")
    accessible = _column(f"numbers of places for wheelchairs, {DELTAS}")
    companion = _column(f"numbers of places beside them, {DELTAS}")
    restricted = _column(f"numbers of seats with a restricted view, {DELTAS}")


class FreeBits(Answer):
    """Which seats are free: all, or what has changed."""

    plan_version_id = StrictInteger()
    cursor = StrictInteger(metadata={"description": "for `after`, to get what changes later"})
    as_of = fields.AwareDateTime(metadata={"description": "since when it is so"})
    free = StrictInteger(metadata={"description": "how many are free"})
    after = StrictInteger(
        allow_none=True, metadata={"description": "what the changes begin at; null: see bitmap"}
    )
    bitmap = fields.String(
        allow_none=True,
        metadata={
            "description": "base64; bit n, of byte n / 8, the lowest first, is seat n: 1 if it can "
            "be booked now; null: these are changes"
        },
    )
    freed = fields.List(
        StrictInteger(), metadata={"description": "numbers of seats that are free now"}
    )
    taken = fields.List(
        StrictInteger(), metadata={"description": "numbers of seats that are not free now"}
    )


class After(Schema):
    """Where the reader is."""

    after = QueryInteger(
        most=BIGGEST_ID,
        metadata={"description": "the cursor of the last answer; without: the whole bitmap"},
    )


FOR_EVER = "public, max-age=31536000, immutable"
BITMAP_CACHED = "public, max-age=10"
CHANGES_CACHED = "public, max-age=2"
VARY = "Accept-Encoding"
A_DAY = 86_400
MOST_CHANGED = 2000
"""Seats; where more have changed, the whole bitmap is shorter."""


@dataclass(frozen=True)
class Availability:
    """Snapshots of an event's free seats, the newest first, and the documents made of them."""

    readings: tuple[FreeSeats, ...]
    whole: bytes = b""
    packed: bytes = b""
    """The whole one, compressed."""
    changes: dict[int, bytes] = field(default_factory=dict)
    """By cursor, as they are asked for: the same for all readers."""

    @property
    def newest(self) -> FreeSeats:
        return self.readings[0]

    @property
    def tag(self) -> str:
        return f"free-{self.newest.number}"

    def tell_changes(self, after: int) -> bytes | None:
        """What has changed since a cursor. None: tell all, since the cursor is unknown, or of
        another plan version, or too much has changed."""
        if after in self.changes:
            return self.changes[after]
        now = self.newest
        then = next((r for r in self.readings if r.number == after), None)
        if then is None or then.plan_version_id != now.plan_version_id:
            return None
        if len(then.free) != len(now.free):  # it was archived meanwhile
            return None
        changed = _list_bits(bytes(a ^ b for a, b in zip(then.free, now.free, strict=True)))
        if len(changed) > MOST_CHANGED:
            return None
        freed = [seat for seat in changed if now.free[seat >> 3] >> (seat & 7) & 1]
        taken = sorted(set(changed) - set(freed))
        document = to_json(_tell(now) | {"after": after, "freed": freed, "taken": taken})
        return self.changes.setdefault(after, document)


def _list_bits(bits: bytes) -> list[int]:
    places = [(8 * place, byte) for place, byte in enumerate(bits) if byte]
    return [first + bit for first, byte in places for bit in range(8) if byte >> bit & 1]


def _tell(reading: FreeSeats) -> dict[str, Any]:
    return {
        "plan_version_id": reading.plan_version_id,
        "cursor": reading.number,
        "as_of": datetime.fromtimestamp(reading.number / 1e6, UTC).isoformat(),
        "free": int.from_bytes(reading.free).bit_count(),
        "after": None,
        "bitmap": None,
        "freed": [],
        "taken": [],
    }


def _read_availability(event_id: int, before: Availability | None) -> Availability:
    known = before.newest.number if before else 0
    with autocommit() as conn:
        news = charts.read_availability(conn, event_id, known)
    if not news:
        if before is None:
            raise NotFound
        return before
    readings = (*news, *(before.readings if before else ()))[: charts.LATEST]
    bitmap = b64encode(readings[0].free).decode()
    whole = to_json(_tell(readings[0]) | {"bitmap": bitmap})
    return Availability(readings, whole, gzip.compress(whole, 6, mtime=0))


def _read_chart(plan_version_id: int, _: bytes | None) -> bytes:
    with autocommit() as conn:
        return charts.read_chart(conn, plan_version_id)


def keep_documents(app: Flask) -> None:
    app.extensions["compact_charts"] = Snapshots(_read_chart, seconds=A_DAY, most=100)
    app.extensions["free_bits"] = Snapshots(_read_availability, seconds=1, most=50)


def takes_gzip(accept_encoding: str) -> bool:
    return bool(parse_accept_header(accept_encoding, Accept)["gzip"])


@blp.route("/charts/<id:version_id>")
@blp.response(200, CompactChart)
@blp.alt_response(304, description="You have it already", success=True)
def get_compact_chart(event_id: int, version_id: int) -> Response:
    """The chart of the event's plan version, or of an earlier one, in columns. It never changes:
    keep it for ever. The event and `/availability/bitmap` tell which version is the present one."""
    if public_events().get(event_id).plan_version_id != version_id:
        with autocommit() as conn:
            charts.check_version(conn, event_id, version_id)
    packed: Snapshots[bytes] = current_app.extensions["compact_charts"]
    return _answer(
        f"chart-{version_id}-{FORMAT}",
        FOR_EVER,
        lambda: packed.get(version_id),
        lambda: gzip.decompress(packed.get(version_id)),
    )


@blp.route("/availability/bitmap")
@blp.arguments(After, location="query")
@blp.response(200, FreeBits)
@blp.alt_response(304, description="Unchanged since the ETag of If-None-Match", success=True)
def get_bitmap(given: dict[str, int], event_id: int) -> Response:
    """Which seats are free, as bits by the numbers of the compact chart; with `after` only what has
    changed since that cursor, if it is known and of the same plan version."""
    kept: Snapshots[Availability] = current_app.extensions["free_bits"]
    found = kept.get(event_id)
    changes = found.tell_changes(given["after"]) if "after" in given else None
    if changes is not None:
        answer = Response(changes, mimetype="application/json")
        answer.headers["Cache-Control"] = CHANGES_CACHED
        return answer
    return _answer(found.tag, BITMAP_CACHED, lambda: found.packed, lambda: found.whole)


def _answer(
    tag: str, cached: str, packed: Callable[[], bytes], plain: Callable[[], bytes]
) -> Response:
    """A document under its tag, compressed for who can read that."""
    answer = Response(mimetype="application/json")
    answer.headers["Cache-Control"] = cached
    answer.set_etag(tag, weak=True)
    answer.vary.add(VARY)
    if request.if_none_match.contains_weak(tag):
        answer.status_code = 304
    elif takes_gzip(request.headers.get("Accept-Encoding", "")):
        answer.headers["Content-Encoding"] = "gzip"
        answer.data = packed()
    else:
        answer.data = plain()
    return answer
