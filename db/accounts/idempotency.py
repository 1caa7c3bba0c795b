"""Answers kept by Idempotency-Key, per caller and route, so that a repeated request does nothing.

Only what was done is kept: refusals and failures are found out anew.
"""

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest

sql = load("accounts/idempotency")


@dataclass(frozen=True)
class Request:
    """principal: who ("buyer:7"); route: method and path; sha256: of what is asked for."""

    principal: str
    route: str
    key: str
    sha256: bytes


def find_answer(conn: Conn, request: Request) -> tuple[int, Any] | None:
    """Status and body of the earlier answer, if there is one; the key is ours until the
    transaction ends.

    Errors: Conflict in_flight; InvalidRequest key_reused.
    """
    values = vars(request)
    # Not a plain insert: that would wait for the other request, holding a connection.
    if not one(conn.execute(sql.lock_key, values))["free"]:
        raise Conflict("The same request is being worked on: ask again shortly.", "in_flight")
    row = maybe(conn.execute(sql.find_answer, values))
    if row is None:
        return None
    if bytes(row["request_sha256"]) != request.sha256:
        message = "This Idempotency-Key came with another request before."
        raise InvalidRequest(message, reason="key_reused")
    return row["status"], row["response"]


def keep_answer(conn: Conn, request: Request, status: int, response: Any) -> None:
    """Keep the answer, in the transaction of what it tells of."""
    values = {**vars(request), "status": status, "response": Jsonb(response)}
    conn.execute(sql.keep_answer, values)
