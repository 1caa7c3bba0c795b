"""Answers kept by Idempotency-Key, per principal and route, so that a repeated request changes
nothing.

Only answers of requests that succeeded are kept. A refused or failed request is tried again.
"""

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from db.connections import Conn, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest

sql = load("accounts/idempotency")

NOT_KEPT = 409
"""The status of an answer that held a secret, and of its repetition."""


@dataclass(frozen=True)
class Request:
    """A request with a key.

    principal: like "buyer:7", or "staff:7 of 3" for an organisation; route: method and path, in one
    spelling for each request; spelt_route: as they were sent, for answers that were kept under
    that; sha256: of the body.
    """

    principal: str
    route: str
    spelt_route: str
    key: str
    sha256: bytes


def find_answer(conn: Conn, request: Request) -> tuple[int, Any] | None:
    """Find status and body of the earlier answer. The key is locked until the transaction ends.

    Errors: Conflict in_flight, already_answered; InvalidRequest key_reused.
    """
    values = vars(request)
    # Not a plain insert: it would wait for the other request and keep a connection meanwhile.
    if not one(conn.execute(sql.lock_key, values))["free"]:
        raise Conflict("The same request is being worked on: ask again shortly.", "in_flight")
    row = maybe(conn.execute(sql.find_answer, values))
    if row is None:
        return None
    if bytes(row["request_sha256"]) != request.sha256:
        message = "This Idempotency-Key was used for another request before."
        raise InvalidRequest(message, reason="key_reused")
    if row["status"] == NOT_KEPT:
        message = "This was done and answered; the answer held a secret, which was not kept."
        raise Conflict(message, "already_answered")
    return row["status"], row["response"]


def keep_answer(conn: Conn, request: Request, status: int, response: Any) -> None:
    """Keep the answer, in the transaction of the request's effect."""
    values = {**vars(request), "status": status, "response": Jsonb(response)}
    conn.execute(sql.keep_answer, values)


def note_answer(conn: Conn, request: Request) -> None:
    """Note that the request was answered, without the answer, which holds a secret."""
    keep_answer(conn, request, NOT_KEPT, {})
