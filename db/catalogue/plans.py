"""Plans and their versions. `scope` is the organisation that the caller may act for; None: all."""

import json
from collections import Counter
from typing import Any, cast

from psycopg.types.json import Jsonb

from db.accounts.audit_log import audit
from db.catalogue import charts
from db.catalogue.plan_pictures import DrawnSeat
from db.catalogue.plan_reports import (
    Seats,
    StoredSeat,
    compare_seats,
    is_unrelated,
    report_plan,
    stored,
)
from db.catalogue.seating import Plan, Tell, keep_read, tell_nothing
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("catalogue/plans")


def check_venue(conn: Conn, scope: int | None, venue_id: int) -> None:
    """Errors: NotFound."""
    values = {"scope": scope, "venue_id": venue_id}
    if maybe(conn.execute(sql.check_venue, values)) is None:
        raise NotFound


def check_plan(conn: Conn, scope: int | None, plan_id: int) -> None:
    """Errors: NotFound."""
    get_plan(conn, scope, plan_id)


def get_plan(conn: Conn, scope: int | None, plan_id: int) -> dict[str, Any]:
    """A plan with its latest version: {id, venue_id, name, versions, version, version_id, seats}.

    Errors: NotFound.
    """
    row = maybe(conn.execute(sql.get_plan, {"scope": scope, "plan_id": plan_id}))
    if row is None:
        raise NotFound
    return row


def list_plans(
    conn: Conn, scope: int | None, venue_id: int, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """The plans of a venue, as get_plan. Errors: NotFound (the venue)."""
    check_venue(conn, scope, venue_id)
    values = {"venue_id": venue_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_plans, values))


def list_versions(
    conn: Conn, scope: int | None, plan_id: int, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """The versions of a plan: [{id, version, seats, created_at, events}]. Errors: NotFound."""
    check_plan(conn, scope, plan_id)
    values = {"plan_id": plan_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_versions, values))


def get_version(conn: Conn, scope: int | None, plan_id: int, version_id: int) -> dict[str, Any]:
    """A version with what was understood of it, as add_version. Errors: NotFound."""
    plan = get_plan(conn, scope, plan_id)
    row = maybe(conn.execute(sql.get_version, {"plan_id": plan_id, "version_id": version_id}))
    if row is None:
        raise NotFound
    report: dict[str, Any] = row.pop("report")
    return {"id": plan_id, "name": plan["name"]} | report | row | _find_sold(conn, row)


def draw_version(conn: Conn, scope: int | None, plan_id: int, version_id: int) -> list[DrawnSeat]:
    """What a picture of a version needs of its seats, best first. Errors: NotFound."""
    check_plan(conn, scope, plan_id)
    rows = many(conn.execute(sql.draw_version, {"plan_id": plan_id, "version_id": version_id}))
    if not rows:
        raise NotFound
    return cast(list[DrawnSeat], rows)


def add_plan(conn: Conn, scope: int | None, venue_id: int, name: str) -> int:
    """Add a plan without a version and return its id. Errors: NotFound (the venue)."""
    values = {"scope": scope, "venue_id": venue_id, "name": name}
    row = maybe(conn.execute(sql.add_plan, values))
    if row is None:
        raise NotFound
    return int(row["id"])


def add_version(
    conn: Conn,
    scope: int | None,
    plan_id: int,
    plan: Plan,
    source: bytes,
    *,
    unrelated: bool = False,
    tell: Tell = tell_nothing,
) -> dict[str, Any]:
    """Store the next version of a plan; 80,000 seats take seconds. source: the file as it was
    uploaded; only the keys that were read are kept. unrelated: it may have few seats in common with
    the version before. tell: is told how many seats are stored.

    Returns {id, version, version_id, name, seats, categories: [{category, name, color, seats}],
    counts, focal_point, zones, guesses, warnings, changes (since the version before, or None),
    sold_seats_gone: [{event_id, name, version, seats}]}.
    Errors: NotFound; Conflict unrelated_plan.
    """
    locked = maybe(conn.execute(sql.lock_plan, {"plan_id": plan_id, "scope": scope}))
    if locked is None:
        raise NotFound
    report = report_plan(plan) | {
        "changes": _find_changes(conn, plan_id, plan, unrelated=unrelated),
        "categories": _describe_categories(plan),
    }
    added = _add_version(conn, plan_id, plan, source, report, tell)
    _note_version(conn, locked, added, len(plan.seats))
    said = {"id": plan_id, "name": locked["name"], "seats": len(plan.seats)}
    return said | report | added | _find_sold(conn, added)


def _note_version(conn: Conn, plan: dict[str, Any], added: dict[str, Any], seats: int) -> None:
    act = {"plan_id": plan["id"], "version": added["version"], "seats": seats}
    audit(conn, "plan version added", None, act, organisation_id=plan["organisation_id"])


def _add_version(
    conn: Conn, plan_id: int, plan: Plan, source: bytes, report: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    values = {
        "plan_id": plan_id,
        "source": Jsonb(keep_read(json.loads(source))),
        "seat_count": len(plan.seats),
        "report": Jsonb(report),
    }
    added = one(conn.execute(sql.add_version, values))
    _add_categories(conn, added["version_id"], plan)
    _copy_seats(conn, added["version_id"], plan, tell)
    charts.make_chart(conn, added["version_id"])
    return added


def _find_changes(
    conn: Conn, plan_id: int, plan: Plan, *, unrelated: bool
) -> dict[str, Any] | None:
    """What changed since the latest version, if there is one. Errors: Conflict unrelated_plan."""
    rows = many(conn.execute(sql.list_latest_seats, {"plan_id": plan_id}))
    if not rows:
        return None
    old: Seats = {row["guid"]: _stored(row) for row in rows}
    new = stored(plan)
    if not unrelated and is_unrelated(old, new):
        message = (
            "Fewer than half of the seats are in the version before: this looks like the plan of "
            "another venue. Import it as a plan of its own, or say unrelated=true."
        )
        raise Conflict(message, "unrelated_plan")
    return {"since_version": rows[0]["version"]} | compare_seats(old, new)


def _stored(row: dict[str, Any]) -> StoredSeat:
    kinds = ("accessible", "companion", "restricted", "general_admission")
    flags = tuple(bool(row[kind]) for kind in kinds)
    place = (row["zone"], row["row"], row["number"], row["x"], row["y"])
    return StoredSeat(row["guid"], row["category"], *place, flags)


def _find_sold(conn: Conn, version: dict[str, Any]) -> dict[str, Any]:
    """The seats that a version has not, and that are held or sold in events of earlier ones."""
    rows = many(conn.execute(sql.list_sold_seats_gone, {"version_id": version["version_id"]}))
    return {"sold_seats_gone": rows}


def _add_categories(conn: Conn, version_id: int, plan: Plan) -> None:
    ordinary: Counter[int] = Counter(
        s.category for s in plan.seats if not s.accessible and not s.companion
    )
    values = {
        "version_id": version_id,
        "names": [category.name for category in plan.categories],
        "colors": [category.color for category in plan.categories],
        "ordinary": [ordinary[n] for n in range(len(plan.categories))],
    }
    conn.execute(sql.add_categories, values)


def _copy_seats(conn: Conn, version_id: int, plan: Plan, tell: Tell) -> None:
    with conn.cursor() as cursor, cursor.copy(sql.copy_seats) as copy:
        for n, s in enumerate(plan.seats):
            tell(n)
            flags = (s.accessible, s.companion, s.restricted, s.general_admission)
            place = (s.zone, s.row, s.row_label, s.number, s.x, s.y)
            copy.write_row((version_id, s.seat, s.guid, s.category + 1, s.centre, *flags, *place))


def _describe_categories(plan: Plan) -> list[dict[str, Any]]:
    seats = Counter(seat.category for seat in plan.seats)
    return [
        {"category": n + 1, "name": category.name, "color": category.color, "seats": seats[n]}
        for n, category in enumerate(plan.categories)
    ]
