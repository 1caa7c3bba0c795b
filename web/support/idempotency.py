"""Idempotency-Key: a repeated request is executed once, and gets the same answer again."""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import unquote

from flask import Response, abort, jsonify, request, url_for
from marshmallow import Schema

from db.accounts import idempotency
from db.connections import Conn
from web.support.auth import acting, principal
from web.support.transactions import retried

KEY_HEADER = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A random one for every new request, the same one to repeat it.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
        "example": "0b9f6f5e-6f0e-4d7b-9f3e-3c1d6a1f2b77",
    },
}
REQUIRED_KEY_HEADER = KEY_HEADER | {"required": True}


def given_key() -> str | None:
    """The Idempotency-Key, if given; 400 when it is malformed."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not is_key(key):
        abort(400, "Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return key


def is_key(text: str) -> bool:
    return 0 < len(text) <= 255 and text.isascii() and text.isprintable()


def required_key() -> str:
    """The Idempotency-Key; 400 when it is missing."""
    key = given_key()
    if key is None:
        abort(400, "Idempotency-Key is missing: send a new random one with every new request.")
    return key


def fingerprint(asked: Any) -> bytes:
    """A hash of the request, by which a key that is used for another request is noticed.

    It has to be the same in the next version: a field that is added to a body has no load_default.
    """
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).digest()


def idempotent(
    view: Callable[..., Any],
    schema: Schema,
    status: int,
    *,
    key_required: bool,
    holds_secret: bool = False,
) -> Callable[..., Response]:
    """Call view(conn, …) in a transaction, unless the request was answered before."""

    @wraps(view)
    def once(*given: Any, **path: Any) -> Response:
        if key_required:
            required_key()
        return retried(
            lambda conn: answer_once(
                conn,
                given,
                lambda: view(conn, *given, **path),
                schema,
                status,
                holds_secret=holds_secret,
            ),
            acting(),
        )

    return once


def answer_once(
    conn: Conn,
    asked: Any,
    work: Callable[[], Any],
    schema: Schema,
    status: int = 201,
    *,
    holds_secret: bool = False,
) -> Response:
    """Do the work and answer with its result in `schema`, or repeat the earlier answer. One that
    holds a secret is not kept.

    conn: in the transaction of the work. Errors: Conflict in_flight, already_answered;
    InvalidRequest key_reused.
    """
    key = given_key()
    if key is None:
        return _answer(schema.dump(work()), status)
    wanted = idempotency.Request(principal(), route(), spelt_route(), key, fingerprint(asked))
    if earlier := idempotency.find_answer(conn, wanted):
        answer = _answer(earlier[1], earlier[0])
        answer.headers["Idempotent-Replayed"] = "true"
        return answer
    body = schema.dump(work())
    if holds_secret:
        idempotency.note_answer(conn, wanted)
    else:
        idempotency.keep_answer(conn, wanted, status, body)
    return _answer(body, status)


def route() -> str:
    """The method and the path as Usher itself writes it, so that another spelling of the path
    (letter case of an id, encoded letters) makes no other request of it."""
    path = unquote(url_for(request.endpoint or "", **(request.view_args or {})))
    return f"{request.method} {path}"


def spelt_route() -> str:
    """The method and the path as it was sent, under which earlier versions kept answers."""
    return f"{request.method} {request.path}"


def _answer(body: Any, status: int) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    return answer
