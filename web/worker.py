"""gunicorn's worker with threads, for what differs here (web/gunicorn.py)."""

import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.http.body import Body, LengthReader
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from web.support import headers

DRAINED = 64 * 2**10
"""Bytes of a body that the app did not read, which gunicorn reads to use the connection again; with
more it closes the connection."""


class Worker(ThreadWorker):
    """Answers requests that never reach the app, since they cannot be read, as the app answers
    errors: a problem (RFC 9457), with the headers that all answers have. An answer after which the
    connection is closed says so: else a proxy could send the next request there, which may be
    another client's."""

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi: Callable[..., Any] = partial(answer, self.wsgi)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        written = Written()
        super().handle_error(req, written, addr, exc)
        if written.status:
            write_nonblock(client, problem(written.status))


def answer(app: Callable[..., Any], environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"]
    content = app(environ, start_response)
    if not is_drained(body):
        start_response.__self__.force_close()  # of gunicorn's response
    return content


def is_drained(body: Body) -> bool:
    """Whether what the app left of a body is little enough for gunicorn."""
    if body.failed:
        return False
    if isinstance(body.reader, LengthReader):
        return bool(body.reader.length < DRAINED)
    return body.reader.parser is None  # chunks: it was read to its end


class Written:
    """Stands in for a connection, to find out the status of an answer that gunicorn writes."""

    status: HTTPStatus | None = None

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.status = HTTPStatus(int(data.split(maxsplit=2)[1]))


def problem(status: HTTPStatus) -> bytes:
    """The whole answer, after which the connection ends."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": "An internal error occurred; the request may be correct."
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else "The request is malformed, or its head is too long.",
    }
    content = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status:d} {status.phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.LIVE.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content
