"""Lobbies before a sale, and the draw that numbers their entries.

ops/verify_draw.py checks a draw, and says how.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.accounts.audit_log import audit
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound

sql = load("queue/lobbies")

SECRET_BYTES = 32


@dataclass(frozen=True)
class Tended:
    """What the clock did with a lobby: how many were told that the sale is over; whether the list
    was fixed now; how many were drawn (None: no draw); how many latecomers went to the tail."""

    ended: int
    closed: bool
    drawn: int | None
    late: int


def set_lobby(
    conn: Conn,
    scope: int | None,
    event_id: int,
    times: tuple[datetime, datetime],
    public_source: str | None,
) -> None:
    """Announce a lobby, or change one that has not begun; its commitment stays the same.

    times: when it opens and closes. Errors: NotFound; InvalidRequest; Conflict not_opened, begun.
    """
    opens_at, closes_at = times
    values = {"event_id": event_id, "scope": scope, "opens_at": opens_at, "closes_at": closes_at}
    event = maybe(conn.execute(sql.lock_event, values))
    if event is None:
        raise NotFound
    _check_times(event, opens_at, closes_at)
    conn.execute(sql.set_times, values)
    secret = secrets.token_bytes(SECRET_BYTES)
    conn.execute(sql.commit, values | {"secret": secret, "public_source": public_source})
    detail = {"opens_at": opens_at.isoformat(), "closes_at": closes_at.isoformat()}
    audit(conn, "set_lobby", event_id, detail | {"public_source": public_source})


def _check_times(event: dict[str, Any], opens_at: datetime, closes_at: datetime) -> None:
    if event["state"] != "on_sale":
        message = "Its commitment must be public: POST …/open first, which announces the event."
        raise Conflict(message, "not_opened")
    if event["begun"]:
        raise Conflict("The lobby, or the sale, has begun.", "begun")
    if opens_at <= event["now"]:
        raise InvalidRequest("The lobby must open in the future.", path="opens_at")
    if closes_at <= opens_at:
        raise InvalidRequest("The lobby must close after it opens.", path="closes_at")
    if closes_at > event["on_sale_at"]:
        raise InvalidRequest("The lobby must close before the sale begins.", path="closes_at")


def get_lobby(conn: Conn, event_id: int) -> dict[str, Any]:
    """What everybody may know of it; the secret only after the draw. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_lobby, {"event_id": event_id}))
    if row is None:
        raise NotFound
    return row


def get_list(conn: Conn, event_id: int) -> bytes:
    """The published list, as it was hashed: sorted account ids, a line each.

    Errors: NotFound; Conflict not_closed.
    """
    row = maybe(conn.execute(sql.get_list, {"event_id": event_id}))
    if row is None:
        get_lobby(conn, event_id)
        raise Conflict("The list is published when the lobby has closed.", "not_closed")
    return str(row["lines"]).encode()


def get_order(conn: Conn, event_id: int) -> bytes:
    """Number and account, a line each, 1 first. Errors: NotFound; Conflict not_drawn."""
    row = maybe(conn.execute(sql.get_order, {"event_id": event_id}))
    if row is None:
        get_lobby(conn, event_id)
        raise Conflict("The lot has not been drawn yet.", "not_drawn")
    return str(row["lines"]).encode()


def give_public_value(conn: Conn, scope: int | None, event_id: int, public_value: str) -> None:
    """Give the value that was named beforehand; the clock draws with it. The same again is nothing.

    Errors: NotFound; Conflict not_closed, no_public_source, value_given.
    """
    values = {"event_id": event_id, "scope": scope, "public_value": public_value}
    draw = maybe(conn.execute(sql.lock_draw, values))
    if draw is None:
        raise NotFound
    if draw["public_source"] is None:
        raise Conflict(
            "No public value was named: the lot is drawn without one.", "no_public_source"
        )
    if draw["closed_at"] is None:
        message = "The list has not been published yet: the value must not be known before that."
        raise Conflict(message, "not_closed")
    if draw["public_value"] is not None:
        if draw["public_value"] != public_value:
            raise Conflict("Another value was given before, and it counts.", "value_given")
        return
    conn.execute(sql.give_value, values)
    audit(conn, "give_public_value", event_id, {"public_value": public_value})


def list_due(conn: Conn) -> list[int]:
    """Events whose lobbies the clock has to look after."""
    return [row["event_id"] for row in conn.execute(sql.list_due)]


def tend(conn: Conn, event_id: int) -> Tended:
    row = one(conn.execute(sql.tend_lobby, {"event_id": event_id}))
    return Tended(**row)


def list_late(conn: Conn) -> list[dict[str, Any]]:
    """Events on sale whose lane waits for a draw.

    [{event_id, on_sale_at, closed_at, public_source, value_given}]
    """
    return many(conn.execute(sql.list_late))


def move_latecomers(conn: Conn) -> int:
    """How many were in a lobby whose list was fixed without them, and are in the tail now."""
    row = one(conn.execute(sql.move_latecomers))
    return int(row["moved"])
