"""The request's id: in every log line, in one line at the request's end, and as the trace of the
tasks that it causes."""

import re
import secrets
from time import perf_counter

import structlog
from flask import Flask, Response, g, request

from db.connections import current_trace

SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = structlog.get_logger()


def trace_requests(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(end)


def begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if SANE.fullmatch(given) else secrets.token_hex(12)
    g.began = perf_counter()
    current_trace.set(g.request_id)
    structlog.contextvars.clear_contextvars()
    ids = {name: str(value) for name, value in (request.view_args or {}).items()}
    structlog.contextvars.bind_contextvars(process="web", request_id=g.request_id, **ids)


def end(answer: Response) -> Response:
    answer.headers["X-Request-Id"] = g.request_id
    log.info(
        "request",
        method=request.method,
        rule=request.url_rule.rule if request.url_rule else None,
        status=answer.status_code,
        ms=round((perf_counter() - g.began) * 1000, 2),
    )
    return answer
