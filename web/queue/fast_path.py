"""A fast path without Flask for the document that all waiting buyers read: a queue's public
document, while this process has a fresh one. All other requests, and one request a second for the
document, go through Flask (web/api/queues.py), which gives the same answer."""

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from prometheus_client import Counter
from werkzeug.http import parse_etags

from web.queue.board import Board
from web.support import headers
from web.support.snapshots import Snapshots

PATH = re.compile(r"/v1/events/([1-9][0-9]{0,17})/queue")

ALWAYS = [*headers.ALWAYS.items(), ("Content-Security-Policy", headers.NOTHING)]


class FastPath:
    """Middleware around `inner`; `served` counts what it answers itself."""

    def __init__(self, inner: WSGIApplication, boards: Snapshots[Board], served: Counter) -> None:
        self.inner, self.boards, self.served = inner, boards, served

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = environ["REQUEST_METHOD"] == "GET" and PATH.fullmatch(environ["PATH_INFO"])
        board = self.boards.peek(int(found[1])) if found else None
        if board is None:
            return self.inner(environ, start_response)
        self.served.inc()
        headers = [("Cache-Control", "public, max-age=2"), ("ETag", f'W/"{board.etag}"'), *ALWAYS]
        known = environ.get("HTTP_IF_NONE_MATCH")
        if known and parse_etags(known).contains_weak(board.etag):
            start_response("304 NOT MODIFIED", headers)
            return []
        headers.append(("Content-Type", "application/json"))
        headers.append(("Content-Length", str(len(board.document))))
        start_response("200 OK", headers)
        return [board.document]


def serve_fast_path(app: Flask, served: Counter) -> None:
    boards: Snapshots[Board] = app.extensions["queue_boards"]
    app.wsgi_app = FastPath(app.wsgi_app, boards, served)  # type: ignore[method-assign]
