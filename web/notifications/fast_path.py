"""A fast path without Flask for the gateway's notifications, of which each paid booking brings two.

What is signed well and can be read is taken by one statement, or forgotten if its type can say
nothing new. All other requests go through Flask (web/api/gateway_notifications.py), which reads the
same body again and answers: a wrong signature or one that is too old, a body that is too long or in
chunks, text that cannot be stored, a booking in the archive, a database that is away, a transaction
that lost to another.
"""

import json
import re
import time
from collections.abc import Iterable
from io import BytesIO
from time import perf_counter
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import psycopg
from flask import Flask

from db.connections import own_connection
from db.payments.notifications import TOLERANCE, take_notification
from web.notifications.reading import MAX_BODY, WANTED, read_notification, read_signature
from web.notifications.signers import secrets_of
from web.support import headers
from web.support.request_metrics import RequestMetrics
from web.support.tracing import begin_request, end_request

PATH = "/webhooks/stripe"
OF_ACCOUNT = "/webhooks/stripe/<id:account_id>"
ADDRESS = re.compile(rf"{PATH}(?:/([1-9][0-9]{{0,17}}))?")
ANSWER = b'{"received":true}\n'
HEADERS = [
    ("Content-Type", "application/json"),
    ("Content-Length", str(len(ANSWER))),
    *headers.LIVE.items(),
]


class FastPath:
    """Middleware around `inner`; `metrics` count what it answers itself."""

    def __init__(self, inner: WSGIApplication, metrics: RequestMetrics) -> None:
        self.inner, self.metrics = inner, metrics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(PATH) or environ["REQUEST_METHOD"] != "POST":
            return self.inner(environ, start_response)
        account = ADDRESS.fullmatch(path)
        if account is None:
            return self.inner(environ, start_response)
        signer = int(account[1]) if account[1] else None
        began = perf_counter()
        request_id = begin_request(environ.get("HTTP_X_REQUEST_ID", ""), {})
        body = read_body(environ)
        if body is None or not take_at_once(body, environ.get("HTTP_STRIPE_SIGNATURE", ""), signer):
            return self.inner(environ, start_response)
        route = PATH if signer is None else OF_ACCOUNT
        end_request(self.metrics, "POST", route, 200, began)
        start_response("200 OK", [*HEADERS, ("X-Request-Id", request_id)])
        return [ANSWER]


def read_body(environ: WSGIEnvironment) -> bytes | None:
    """Read the body, and leave it to be read again. None: Flask decides what becomes of it."""
    length = environ.get("CONTENT_LENGTH", "")
    if not re.fullmatch("[0-9]{1,7}", length) or int(length) > MAX_BODY:
        return None
    try:
        body: bytes = environ["wsgi.input"].read(int(length))
    except OSError:
        return None
    environ["wsgi.input"] = BytesIO(body)
    return body


def take_at_once(body: bytes, header: str, signer: int | None) -> bool:
    """Whether that was all that was to be done with a notification. signer: the account to whose
    address it came; None: the platform's."""
    try:
        signed_at = read_signature(body, header, secrets_of(signer))
        if signed_at is None:
            return False
        text = body.decode()
        event = json.loads(text)
        if event["type"] not in WANTED:
            # By this process's clock, which may be wrong: nothing is done with it in any case.
            return time.time() - signed_at < TOLERANCE
        with own_connection() as conn:
            taken = take_notification(conn, read_notification(event, text, signed_at, signer))
    except (ValueError, TypeError, LookupError, RecursionError, psycopg.Error):
        return False
    return taken in ("news", "no_news", "known")


def serve_fast_path(app: Flask) -> None:
    metrics: RequestMetrics = app.extensions["request_metrics"]
    app.wsgi_app = FastPath(app.wsgi_app, metrics)  # type: ignore[method-assign]
