"""Lobbies before a sale, and the draw that numbers their entries.

ops/verify_draw.py checks a draw and describes the algorithm.
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
    """The steps of a lobby that the clock took: how many entries were told that the sale is over;
    whether the list was fixed; how many were drawn (None: no draw); how many latecomers moved to
    the tail."""

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
    """Announce a lobby, or change one that has not opened; its commitment stays the same.

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
        message = "The draw's commitment must be public: announce the event by POST …/open first."
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
    """The public view of a lobby, with the secret only after the draw. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_lobby, {"event_id": event_id}))
    if row is None:
        raise NotFound
    return row


def get_list(conn: Conn, event_id: int) -> bytes:
    """The published list, the text of the hash: sorted account ids, a line each.

    Errors: NotFound; Conflict not_closed.
    """
    row = maybe(conn.execute(sql.get_list, {"event_id": event_id}))
    if row is None:
        get_lobby(conn, event_id)
        raise Conflict("The list is published when the lobby has closed.", "not_closed")
    return str(row["lines"]).encode()


def get_order(conn: Conn, event_id: int) -> bytes:
    """The order of the draw: number and account, a line each, 1 first.

    Errors: NotFound; Conflict not_drawn.
    """
    row = maybe(conn.execute(sql.get_order, {"event_id": event_id}))
    if row is None:
        get_lobby(conn, event_id)
        raise Conflict("The lobby has not been drawn yet.", "not_drawn")
    return str(row["lines"]).encode()


def give_public_value(conn: Conn, scope: int | None, event_id: int, public_value: str) -> None:
    """Store the public value, with which the clock draws. The same value again changes nothing.

    Errors: NotFound; Conflict not_closed, no_public_source, value_given.
    """
    values = {"event_id": event_id, "scope": scope, "public_value": public_value}
    draw = maybe(conn.execute(sql.lock_draw, values))
    if draw is None:
        raise NotFound
    if draw["public_source"] is None:
        raise Conflict(
            "The lobby has no public source: it is drawn without a public value.",
            "no_public_source",
        )
    if draw["closed_at"] is None:
        message = "The list is not published yet: the public value must not be known before that."
        raise Conflict(message, "not_closed")
    if draw["public_value"] is not None:
        if draw["public_value"] != public_value:
            raise Conflict(
                "Another public value was given before, and cannot be changed.", "value_given"
            )
        return
    conn.execute(sql.give_value, values)
    audit(conn, "give_public_value", event_id, {"public_value": public_value})


def list_due(conn: Conn) -> list[int]:
    """List events whose lobbies have a step that is due."""
    return [row["event_id"] for row in conn.execute(sql.list_due)]


def tend(conn: Conn, event_id: int) -> Tended:
    row = one(conn.execute(sql.tend_lobby, {"event_id": event_id}))
    return Tended(**row)


def list_late(conn: Conn) -> list[dict[str, Any]]:
    """List events on sale whose lane waits for a draw.

    [{event_id, on_sale_at, closed_at, public_source, value_given}]
    """
    return many(conn.execute(sql.list_late))


def move_latecomers(conn: Conn) -> int:
    """Move entries that a lobby's fixed list does not have to the tail, and return how many."""
    row = one(conn.execute(sql.move_latecomers))
    return int(row["moved"])
