"""The feed of an organisation: messages with numbers without gaps, in which no number is added
later.

A cursor is the number of the last message that its reader has. Tests have a feed of their own.
"""

from dataclasses import dataclass
from typing import Any, cast

from db.connections import Conn, many, one
from db.feed.messages import Message
from db.queries import load
from db.runtime.errors import Conflict

sql = load("feed/feed")


@dataclass(frozen=True)
class Numbered:
    """What one run of the job did. remains: it could go on at once; restarted: see
    number_feed.sql."""

    told: int
    remains: bool
    restarted: bool


def number_feed(conn: Conn, limit: int) -> Numbered:
    """Number what is new for the feeds of all organisations, about `limit` messages at most."""
    return Numbered(**one(conn.execute(sql.number_feed, {"limit": limit})))


def list_messages(
    conn: Conn, organisation_id: int, *, is_test: bool, after: int | None, limit: int
) -> list[Message]:
    """Messages after a cursor, in their order; None: from the oldest that is kept.

    Errors: Conflict cursor_unknown, cursor_too_old, both with {oldest, last}: the first and the
    last number that are kept.
    """
    whose = {"organisation_id": organisation_id, "is_test": is_test}
    values = {**whose, "after": after or 0, "limit": limit}
    rows = many(conn.execute(sql.list_messages, values))
    if after is not None and (not rows or rows[0]["number"] != after + 1):
        _check_cursor(after, get_span(conn, organisation_id, is_test=is_test))
    return cast(list[Message], rows)


def get_span(conn: Conn, organisation_id: int, *, is_test: bool) -> dict[str, Any]:
    """The numbers of the oldest and the last message that are kept: {oldest, last}; if none is,
    oldest is the number that comes next."""
    values = {"organisation_id": organisation_id, "is_test": is_test}
    return one(conn.execute(sql.get_span, values))


def _check_cursor(after: int, span: dict[str, Any]) -> None:
    if after > span["last"]:
        message = f"The feed has no number {after}: the last one is {span['last']}."
        raise Conflict(message, "cursor_unknown", **span)
    if after < span["oldest"] - 1:
        message = f"Messages after {after} were deleted: the oldest one is {span['oldest']}."
        raise Conflict(message, "cursor_too_old", **span)
