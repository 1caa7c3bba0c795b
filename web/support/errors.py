"""The table from errors to HTTP. Every error is an application/problem+json (RFC 9457).

Members: type, title, status, detail, instance, request_id; where they apply, errors[] (location,
path, message), conflict_reason, and retry_after in seconds, which is also a header.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from flask import Flask, Response, g, request
from gunicorn.http.errors import NoMoreData, ParseException
from psycopg.errors import (
    DeadlockDetected,
    DiskFull,
    ForeignKeyViolation,
    InvalidTextRepresentation,
    LockNotAvailable,
    NumericValueOutOfRange,
    QueryCanceled,
    SerializationFailure,
    StatementTooComplex,
    UntranslatableCharacter,
)
from psycopg_pool import PoolTimeout
from werkzeug.exceptions import HTTPException

from db.catalogue.plan_imports import REFUSED
from db.catalogue.seating import PlanError
from db.runtime.errors import (
    Busy,
    Conflict,
    Fault,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooManyTries,
    UsherError,
)

log = structlog.get_logger()

STATUS: dict[type[UsherError], int] = {
    NotFound: 404,
    InvalidRequest: 422,
    Conflict: 409,
    NotSignedIn: 401,
    NotAllowed: 403,
    Busy: 503,
    TooManyTries: 429,
    Fault: 500,
}

CHANGING = "Another request is changing the same data: try again shortly."
UNSTORABLE = "The JSON holds a value that cannot be stored."
DATABASE: list[tuple[type[Exception], int, str]] = [
    (UntranslatableCharacter, 422, UNSTORABLE),  # \u0000
    (InvalidTextRepresentation, 422, UNSTORABLE),  # half of a surrogate pair, NaN
    (NumericValueOutOfRange, 422, UNSTORABLE),
    (StatementTooComplex, 422, UNSTORABLE),  # nested too deeply
    (QueryCanceled, 503, "The request took too long: try again shortly."),
    (LockNotAvailable, 503, CHANGING),
    (DeadlockDetected, 503, CHANGING),
    (SerializationFailure, 503, CHANGING),
    (PoolTimeout, 503, "The service is busy: try again shortly."),
    (DiskFull, 503, "Nothing can be stored at the moment: try again shortly."),
    (psycopg.OperationalError, 503, "The database cannot be reached: try again shortly."),
    (ForeignKeyViolation, 422, "The request refers to something that does not exist."),
]

RETRY_AFTER = 2


def describe_problem(status: int, detail: str, **members: Any) -> dict[str, Any]:
    """Make a problem's body; members that are None are left out."""
    reason = members.get("conflict_reason")
    body = {
        "type": f"urn:usher:problem:{reason}" if reason else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        **members,
    }
    return {name: value for name, value in body.items() if value is not None}


def problem(status: int, detail: str, **members: Any) -> Response:
    """Answer with a problem."""
    body = describe_problem(status, detail, request_id=g.get("request_id"), **members)
    if status == 503:
        body["retry_after"] = RETRY_AFTER
    answer = Response(json.dumps(body), status, mimetype="application/problem+json")
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER)
    if status == 429 and "retry_after" in body:
        answer.headers["Retry-After"] = str(body["retry_after"])
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def register_errors(app: Flask) -> None:
    app.register_error_handler(UsherError, answer_domain_error)
    app.register_error_handler(PlanError, answer_plan_error)
    app.register_error_handler(psycopg.Error, answer_database_error)
    app.register_error_handler(ParseException, answer_malformed)
    app.register_error_handler(NoMoreData, answer_malformed)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, answer_unhandled)


def answer_domain_error(error: UsherError) -> Response:
    """An error that STATUS does not have is none of the caller's, and its details are not told."""
    if type(error) not in STATUS:
        return answer_unhandled(error)
    details = dict(error.details)
    members: dict[str, Any] = {
        "conflict_reason": details.pop("conflict_reason", None) or details.pop("reason", None)
    }
    if path := details.pop("path", None):
        members["errors"] = [{"location": "json", "path": path, "message": str(error)}]
    return problem(STATUS[type(error)], str(error), **members, **details)


def answer_plan_error(error: PlanError) -> Response:
    return problem(422, REFUSED, errors=in_body(error.errors))


def in_body(errors: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Errors of fields, as errors of the request's body."""
    return [{"location": "json", **found} for found in errors]


def answer_database_error(error: psycopg.Error) -> Response:
    for kind, status, detail in DATABASE:
        if isinstance(error, kind):
            log.warning("database", error=type(error).__name__, message=str(error))
            return problem(status, detail)
    return answer_unhandled(error)


def answer_http_error(error: HTTPException) -> Response:
    """Answer werkzeug's errors, and webargs' with the errors of each field."""
    messages = (getattr(error, "data", None) or {}).get("messages")
    errors = list(list_messages(messages)) if messages else None
    detail = "The request is invalid: see errors." if errors else str(error.description)
    answer = problem(error.code or 500, detail, errors=errors)
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after", "content-range"):
            answer.headers[name] = value
    return answer


def answer_malformed(error: Exception) -> Response:
    """Answer a body that the server could not read, such as one in malformed chunks."""
    log.info("malformed body", error=type(error).__name__)
    answer = problem(400, "The body of the request is malformed.")
    answer.headers["Connection"] = "close"
    return answer


def list_messages(messages: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Flatten webargs' nested messages: {location, path, message}."""
    for location, tree in messages.items():
        for path, message in walk_messages(tree):
            yield {"location": location, "path": path, "message": message}


def walk_messages(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            step = "" if key == "_schema" else f"[{key}]" if isinstance(key, int) else f".{key}"
            yield from walk_messages(value, path + step)
    elif isinstance(tree, list):
        for value in tree:
            yield from walk_messages(value, path)
    else:
        yield path.lstrip("."), str(tree)


def answer_unhandled(error: Exception) -> Response:
    log.error("unhandled exception", exc_info=error)
    return problem(500, "An internal error occurred; the request may be correct.")
