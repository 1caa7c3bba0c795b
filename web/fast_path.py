"""The hot routes without Flask: what a crowd asks for all the time is answered by middleware, at a
fraction of the cost, with the answer that Flask would give.

A route here is a function with one way, that of success. It returns None, before it has counted or
stored anything, for all that is not usual: parameters, a token, a cookie or a body that is not
certainly right, a document that has to be made anew. Flask answers that (web/api/), as it answers
all other routes. What is raised later is handed over, and Flask answers it from its table of errors
(web/support/errors.py). So nothing is done twice, and no answer differs.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from time import perf_counter
from typing import NamedTuple
from uuid import UUID
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, g, request
from prometheus_client import Counter
from werkzeug.http import parse_etags

from db.accounts import api_keys
from web.api import bookings, charts, queues, seats
from web.api.charts import Availability
from web.api.events import PublicEvent
from web.queue.board import Board
from web.queue.tokens import read_own_queue_token
from web.support import headers
from web.support.auth import token_in, usual_buyer
from web.support.client_address import network_of
from web.support.dumping import to_json
from web.support.ended_tokens import EndedTokens
from web.support.idempotency import is_key
from web.support.rate_limits import (
    Known,
    Limiter,
    account_limit,
    by_address,
    class_of,
    tell_left,
)
from web.support.request_metrics import RequestMetrics
from web.support.sessions import Session
from web.support.snapshots import Snapshots
from web.support.tracing import begin_request, end_request

UUIDS = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
PATH = re.compile(rf"/v1/events/([1-9][0-9]{{0,17}})(/[a-z/]+?)?(?:/({UUIDS}))?")
AFTER = re.compile("after=([1-9][0-9]{0,17})")
TICKET = re.compile("ticket=([A-Za-z0-9._-]{1,1000})")
LONGEST_BODY = 4096
FAILED = "usher.failed"

ALWAYS = [*headers.ALWAYS.items(), ("Content-Security-Policy", headers.NOTHING)]
NO_STORE = {"Cache-Control": "no-store"}


class Answer(NamedTuple):
    """An answer in JSON; its headers but for those that all answers have."""

    body: bytes
    headers: dict[str, str] = NO_STORE
    status: HTTPStatus = HTTPStatus.OK


class Failed(NamedTuple):
    """What was raised, and what was counted before."""

    error: Exception
    known: Known


@dataclass(frozen=True)
class Documents:
    """What the process keeps, which Flask's views use as well."""

    boards: Snapshots[Board]
    events: Snapshots[PublicEvent]
    charts: Snapshots[bytes]
    free_seats: Snapshots[bytes]
    free_bits: Snapshots[Availability]
    ended: Snapshots[EndedTokens]
    limiter: Limiter | None


@dataclass
class Asked:
    """A request, as the routes see it."""

    wsgi: WSGIEnvironment
    kept: Documents
    endpoint: str
    event_id: int
    ids: dict[str, UUID]
    """The other ids of its path, by their names in the rule."""
    request_id: str = ""
    known: Known = field(default_factory=dict)

    def header(self, name: str) -> str:
        text: str = self.wsgi.get(f"HTTP_{name}", "")
        return text

    def has_query(self) -> bool:
        return bool(self.wsgi.get("QUERY_STRING"))

    def buyer(self) -> Session | None:
        ended = self.kept.ended.peek(0)
        return usual_buyer(self.wsgi, ended) if ended else None

    def json(self) -> bytes | None:
        """The body, if it says that it is JSON, and is short. Flask can read it again."""
        kind, _, _ = self.wsgi.get("CONTENT_TYPE", "").partition(";")
        length = self.wsgi.get("CONTENT_LENGTH", "")
        if kind.strip().lower() != "application/json" or not re.fullmatch("[0-9]{1,4}", length):
            return None
        if int(length) > LONGEST_BODY or self.header("TRANSFER_ENCODING"):
            return None
        body: bytes = self.wsgi["wsgi.input"].read(int(length))
        self.wsgi["wsgi.input"] = BytesIO(body)
        return body

    def take(self, buyer: Session | None = None) -> None:
        """Answer the request here: count it as Flask would. Errors: TooMany."""
        ids = {"event_id": self.event_id, **self.ids}
        self.request_id = begin_request(self.header("X_REQUEST_ID"), ids)
        self.wsgi["HTTP_X_REQUEST_ID"] = self.request_id  # Flask would keep it
        if (limiter := self.kept.limiter) is None:
            return
        kind = class_of(self.endpoint, self.wsgi["REQUEST_METHOD"])
        address = network_of(self.wsgi.get("REMOTE_ADDR", ""))
        asked = by_address(limiter, kind, address, self.event_id, self.kept.boards)
        if buyer:
            by = account_limit(limiter.table.get(kind, {}), verified=buyer.verified)
            asked.append((kind, {by: str(buyer.account_id)}))
        limiter.spend_in_turn(asked, self.known)

    def document(self, body: bytes, tag: str, more: dict[str, str]) -> Answer:
        """The body, or 304 if the client has it under this tag."""
        given = self.header("IF_NONE_MATCH")
        if given and parse_etags(given).contains_weak(tag):
            return Answer(b"", more, HTTPStatus.NOT_MODIFIED)
        return Answer(body, more)


Route = Callable[[Asked], Answer | None]


def get_board(asked: Asked) -> Answer | None:
    board = asked.kept.boards.peek(asked.event_id)
    if board is None:
        return None
    more = {"Cache-Control": queues.CACHED, "ETag": f'W/"{board.etag}"'}
    return asked.document(board.document, board.etag, more)


def get_event(asked: Asked) -> Answer | None:
    event = asked.kept.events.peek(asked.event_id)
    has_key = token_in(asked.header("AUTHORIZATION")).startswith(api_keys.PREFIX)
    is_public = not (has_key or asked.header("USHER_ORGANISATION"))
    if event is None or not is_public or asked.has_query():
        return None
    asked.take()
    return Answer(event.document())


def get_chart(asked: Asked) -> Answer | None:
    event = asked.kept.events.peek(asked.event_id)
    chart = asked.kept.charts.peek(event.plan_version_id) if event else None
    if event is None or chart is None or asked.has_query():
        return None
    asked.take()
    tag = seats.chart_tag(event.plan_version_id)
    return asked.document(chart, tag, {"Cache-Control": seats.CHART_CACHED, "ETag": f'"{tag}"'})


def get_availability(asked: Asked) -> Answer | None:
    counts = asked.kept.free_seats.peek(asked.event_id)
    if counts is None or asked.has_query():
        return None
    asked.take()
    return Answer(counts, {"Cache-Control": seats.AVAILABILITY_CACHED})


def get_bitmap(asked: Asked) -> Answer | None:
    found = asked.kept.free_bits.peek(asked.event_id)
    after = AFTER.fullmatch(asked.wsgi["QUERY_STRING"]) if asked.has_query() else None
    if found is None or (asked.has_query() and not after):
        return None
    asked.take()
    if after and (changes := found.tell_changes(int(after[1]))) is not None:
        return Answer(changes, {"Cache-Control": charts.CHANGES_CACHED})
    more = {
        "Cache-Control": charts.BITMAP_CACHED,
        "ETag": f'W/"{found.tag}"',
        "Vary": charts.VARY,
    }
    answer = asked.document(found.whole, found.tag, more)
    if answer.body and charts.takes_gzip(asked.header("ACCEPT_ENCODING")):
        return Answer(found.packed, more | {"Content-Encoding": "gzip"})
    return answer


def get_position(asked: Asked) -> Answer | None:
    given = TICKET.fullmatch(asked.wsgi["QUERY_STRING"]) if asked.has_query() else None
    token = given[1] if given else token_in(asked.header("AUTHORIZATION"))
    queue_token = read_own_queue_token(token, asked.event_id)
    board = asked.kept.boards.peek(asked.event_id)
    if queue_token is None or board is None or (asked.has_query() and not given):
        return None
    asked.take(Session(queue_token.buyer_id))
    position = queues.tell_position(board, queue_token.number)
    return Answer(to_json(position), {"Cache-Control": queues.PRIVATE})


def get_entry(asked: Asked) -> Answer | None:
    buyer = asked.buyer()
    if buyer is None or asked.has_query():
        return None
    asked.take(buyer)
    entry = queues.look_up_entry(
        asked.event_id, asked.ids["entry_id"], buyer.account_id, asked.kept.boards.get
    )
    return Answer(to_json(queues.dump_entry(entry)))


def get_booking(asked: Asked) -> Answer | None:
    buyer = asked.buyer()
    if buyer is None or asked.has_query():
        return None
    asked.take(buyer)
    booking = bookings.look_up_booking(asked.event_id, asked.ids["booking_id"], buyer.account_id)
    return Answer(to_json(bookings.dump_booking(booking)))


def join_queue(asked: Asked) -> Answer | None:
    buyer, key = asked.buyer(), asked.header("IDEMPOTENCY_KEY")
    if buyer is None or asked.has_query() or not is_key(key):
        return None
    body = asked.json()
    read = queues.read_usual_wish(body) if body else None
    if read is None:
        return None
    asked.take(buyer)
    entry = queues.add_entry(*read, asked.event_id, buyer.account_id, key)
    board = asked.kept.boards.get(asked.event_id)
    joined = to_json(queues.tell_joined(entry, asked.event_id, buyer.account_id, board))
    if entry["replayed"]:
        return Answer(joined, NO_STORE | {"Idempotent-Replayed": "true"})
    return Answer(joined, status=HTTPStatus.CREATED)


UNCOUNTED = "queue.get_queue"
"""The board: it has a metric of its own, and neither a line in the log nor a rate limit, since
proxies answer it as well."""

ROUTES: dict[tuple[str, str | None, bool], tuple[str, Route]] = {
    ("GET", "/queue", False): (UNCOUNTED, get_board),
    ("GET", None, False): ("events.get_event", get_event),
    ("GET", "/seats", False): ("seats.get_chart", get_chart),
    ("GET", "/availability", False): ("seats.get_availability", get_availability),
    ("GET", "/availability/bitmap", False): ("charts.get_bitmap", get_bitmap),
    ("GET", "/queue/position", False): ("queue.get_position", get_position),
    ("GET", "/queue", True): ("queue.get_entry", get_entry),
    ("GET", "/bookings", True): ("bookings.get_booking", get_booking),
    ("POST", "/queue", False): ("queue.join_queue", join_queue),
}
"""By method, what comes behind the event in the path, and whether an id comes behind that."""

NAMES = {"queue.get_entry": "entry_id", "bookings.get_booking": "booking_id"}


@dataclass(frozen=True)
class FastPath:
    """Middleware around `inner`; `served` counts the boards that it answers itself."""

    inner: WSGIApplication
    kept: Documents
    routes: dict[tuple[str, str | None, bool], tuple[str, Route]]
    rules: dict[str, str]
    metrics: RequestMetrics
    served: Counter

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = perf_counter()
        found = PATH.fullmatch(environ["PATH_INFO"])
        key = (environ["REQUEST_METHOD"], found[2], found[3] is not None) if found else None
        if found is None or key not in self.routes or _has_odd_body(environ):
            return self.inner(environ, start_response)
        endpoint, route = self.routes[key]
        ids = {NAMES[endpoint]: UUID(found[3])} if found[3] else {}
        asked = Asked(environ, self.kept, endpoint, int(found[1]), ids)
        try:
            answer = route(asked)
        except Exception as error:
            environ[FAILED] = Failed(error, asked.known)
            answer = None
        if answer is None:
            return self.inner(environ, start_response)
        start_response(f"{answer.status:d} {answer.status.phrase.upper()}", _headers(asked, answer))
        self._count(asked, answer, began)
        return [answer.body]

    def _count(self, asked: Asked, answer: Answer, began: float) -> None:
        if asked.endpoint == UNCOUNTED:
            self.served.inc()
            return
        method, rule = asked.wsgi["REQUEST_METHOD"], self.rules[asked.endpoint]
        end_request(self.metrics, method, rule, int(answer.status), began)


def _has_odd_body(environ: WSGIEnvironment) -> bool:
    """Whether there is a body where none belongs."""
    has_body = environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ
    return bool(has_body and environ["REQUEST_METHOD"] == "GET")


def _headers(asked: Asked, answer: Answer) -> list[tuple[str, str]]:
    found = [*answer.headers.items(), *ALWAYS]
    if answer.status != HTTPStatus.NOT_MODIFIED:
        found.append(("Content-Type", "application/json"))
        found.append(("Content-Length", str(len(answer.body))))
    if asked.request_id:
        found.append(("X-Request-Id", asked.request_id))
    if asked.known and "public" not in answer.headers["Cache-Control"]:
        found.extend(tell_left(asked.known).items())
    return found


def take_over() -> None:
    """Raise in Flask what the fast path has met, for the table of errors."""
    failed: Failed | None = request.environ.get(FAILED)
    if failed is not None:
        g.counted = failed.known
        raise failed.error


def serve_fast_path(app: Flask, served: Counter) -> None:
    """Put the middleware around the app; call it when all blueprints are registered."""
    found = app.extensions
    kept = Documents(
        found["queue_boards"],
        found["public_events"],
        found["charts"],
        found["free_seats"],
        found["free_bits"],
        found["ended_tokens"],
        found.get("rate_limits"),
    )
    app.wsgi_app = FastPath(  # type: ignore[method-assign]
        app.wsgi_app,
        kept,
        {key: found for key, found in ROUTES.items() if not _looks_back(key[0], found[0], kept)},
        {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()},
        found["request_metrics"],
        served,
    )


def _looks_back(method: str, endpoint: str, kept: Documents) -> bool:
    """Whether a limit depends on how requests were answered: Flask counts those."""
    table = kept.limiter.table if kept.limiter else {}
    return "account_refused" in table.get(class_of(endpoint, method), {})
