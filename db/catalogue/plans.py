"""Plans and their versions. A seat keeps its integer in all versions of its plan."""

import json
from collections import Counter
from typing import Any

from psycopg.types.json import Jsonb

from db.catalogue.seating import Plan, keep_numbers, keep_read
from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import NotFound

sql = load("catalogue/plans")


def check_venue(conn: Conn, scope: int | None, venue_id: int) -> None:
    """Errors: NotFound."""
    values = {"scope": scope, "venue_id": venue_id}
    if maybe(conn.execute(sql.check_venue, values)) is None:
        raise NotFound


def check_plan(conn: Conn, scope: int | None, plan_id: int) -> None:
    """Errors: NotFound."""
    if maybe(conn.execute(sql.check_plan, {"scope": scope, "plan_id": plan_id})) is None:
        raise NotFound


def add_plan(conn: Conn, scope: int | None, venue_id: int, name: str) -> int:
    """Add a plan without a version and return its id. Errors: NotFound (the venue)."""
    values = {"scope": scope, "venue_id": venue_id, "name": name}
    row = maybe(conn.execute(sql.add_plan, values))
    if row is None:
        raise NotFound
    return int(row["id"])


def add_version(
    conn: Conn, scope: int | None, plan_id: int, plan: Plan, source: bytes
) -> dict[str, Any]:
    """Store the next version of a plan; 80,000 seats take seconds. source: the file as it was
    uploaded; only the keys that were read are kept.

    Returns {id, version, version_id, name, seats, categories: [{category, name, color, seats}]}.
    Errors: NotFound.
    """
    locked = maybe(conn.execute(sql.lock_plan, {"plan_id": plan_id, "scope": scope}))
    if locked is None:
        raise NotFound
    earlier = conn.execute(sql.earlier_numbers, {"plan_id": plan_id})
    plan = keep_numbers(plan, {row["guid"]: row["seat"] for row in earlier})
    values = {
        "plan_id": plan_id,
        "source": Jsonb(keep_read(json.loads(source))),
        "seat_count": len(plan.seats),
    }
    added = one(conn.execute(sql.add_version, values))
    _add_categories(conn, added["id"], plan)
    _copy_seats(conn, added["id"], plan)
    return {
        "id": plan_id,
        "version": added["version"],
        "version_id": added["id"],
        "name": locked["name"],
        "seats": len(plan.seats),
        "categories": _describe_categories(plan),
    }


def _add_categories(conn: Conn, version_id: int, plan: Plan) -> None:
    names = [category.name for category in plan.categories]
    colors = [category.color for category in plan.categories]
    values = {"version_id": version_id, "names": names, "colors": colors}
    conn.execute(sql.add_categories, values)


def _copy_seats(conn: Conn, version_id: int, plan: Plan) -> None:
    with conn.cursor() as cursor, cursor.copy(sql.copy_seats) as copy:
        for s in plan.seats:
            flags = (s.accessible, s.companion, s.restricted, s.general_admission)
            place = (s.zone, s.row, s.number, s.x, s.y)
            copy.write_row((version_id, s.seat, s.guid, s.category + 1, s.centre, *flags, *place))


def _describe_categories(plan: Plan) -> list[dict[str, Any]]:
    seats = Counter(seat.category for seat in plan.seats)
    return [
        {"category": n + 1, "name": category.name, "color": category.color, "seats": seats[n]}
        for n, category in enumerate(plan.categories)
    ]
