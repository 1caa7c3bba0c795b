"""The request's id: in every log line, in one line at the request's end, and as the trace of the
tasks that it causes. With that line the request is counted."""

import re
from collections.abc import Mapping
from random import getrandbits
from time import perf_counter

import structlog
from flask import Flask, Response, current_app, g, request

from db.connections import current_trace
from db.runtime.logs import write_info
from web.support.request_metrics import RequestMetrics

SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def trace_requests(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(count_exception)


def begin() -> None:
    g.began = perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = begin_request(given, request.view_args or {})


def begin_request(given: str, ids: Mapping[str, object]) -> str:
    """Bind the request's id, the given one if it is sane, and the ids of its path; return it."""
    request_id = given if SANE.fullmatch(given) else f"{getrandbits(96):024x}"
    current_trace.set(request_id)
    structlog.contextvars.clear_contextvars()
    bound = {name: str(value) for name, value in ids.items()}
    structlog.contextvars.bind_contextvars(process="web", request_id=request_id, **bound)
    return request_id


def end(answer: Response) -> Response:
    answer.headers["X-Request-Id"] = g.request_id
    if began := g.pop("began", None):
        rule = request.url_rule.rule if request.url_rule else None
        end_request(_metrics(), request.method, rule, answer.status_code, began)
    return answer


def end_request(
    metrics: RequestMetrics, method: str, rule: str | None, status: int, began: float
) -> None:
    """Count a request, and write its line."""
    seconds = perf_counter() - began
    metrics.count(method, rule, status, seconds)
    write_info("request", method=method, rule=rule, status=status, ms=round(seconds * 1000, 2))


def count_exception(error: BaseException | None) -> None:
    if error is not None:
        _metrics().count_exception(request.method)


def _metrics() -> RequestMetrics:
    metrics: RequestMetrics = current_app.extensions["request_metrics"]
    return metrics
