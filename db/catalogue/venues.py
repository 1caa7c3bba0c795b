"""Venues. `scope` is the organisation that the caller may act for; None: all of them."""

from typing import Any

from db.connections import Conn, many, one
from db.queries import load

sql = load("catalogue/venues")


def add_venue(
    conn: Conn, organisation_id: int, name: str, city: str, time_zone: str
) -> dict[str, Any]:
    """Add a venue and return {id, organisation_id, name, city, time_zone}.

    Errors: psycopg.IntegrityError when the organisation does not exist.
    """
    values = {"organisation_id": organisation_id, "name": name}
    values |= {"city": city, "time_zone": time_zone}
    return one(conn.execute(sql.add_venue, values))


def list_venues(
    conn: Conn, scope: int | None, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    values = {"scope": scope, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_venues, values))
