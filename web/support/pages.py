"""Lists in pages: the query names the page, and a Link header in the answer names the next one."""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import request
from marshmallow import fields

from db.accounts.audit_log import audit
from db.connections import Conn, autocommit, transaction
from web.support.auth import acting
from web.support.callers import caller
from web.support.fields import QueryInteger, Schema

MAX_LIMIT = 100


class Page(Schema):
    """A page of a list."""

    starting_after: fields.Field[Any] = QueryInteger(
        load_default=0, metadata={"description": "the last id you have"}
    )
    limit = QueryInteger(least=1, most=MAX_LIMIT, load_default=20)


class PageByUUID(Page):
    starting_after = fields.UUID(
        load_default=None, metadata={"description": "the last id you have"}
    )


def paginated(
    view: Callable[..., Any], reads: str | None = None, personal: Collection[str] = ()
) -> Callable[..., Any]:
    """Call view(conn, page, …) for one row more than the page has, to know whether another follows.

    The link repeats the other parameters of the query. reads: the personal data that are read, for
    the audit log: "offline payments read". personal: parameters of which
    the log has the names alone.
    """

    @wraps(view)
    def read_page(page: dict[str, Any], **path: Any) -> tuple[Any, int, dict[str, str]]:
        limit = page["limit"]
        with transaction(acting()) if reads else autocommit() as conn:
            rows = view(conn, page | {"limit": limit + 1}, **path)
            if reads:
                _note_reading(conn, reads, path, rows[:limit], personal)
        if len(rows) <= limit:
            return rows, 200, {}
        last = {"starting_after": rows[limit - 1]["id"], "limit": limit}
        following = urlencode(request.args.to_dict() | last)
        return rows[:limit], 200, {"Link": f'<{request.path}?{following}>; rel="next"'}

    return read_page


def _note_reading(
    conn: Conn, reads: str, path: dict[str, Any], rows: list[Any], personal: Collection[str]
) -> None:
    """Write to the audit log what was read, and of whom if it is of one organisation."""
    owner = path.get("organisation_id") or caller().scope
    query = {name: "…" if name in personal else value for name, value in request.args.items()}
    act = {"rows": len(rows), "query": query}
    act |= {name: str(value) for name, value in path.items() if name == "booking_id"}
    audit(conn, reads, path.get("event_id"), act, organisation_id=owner)
