"""The hot routes answer in front of Flask as Flask does: each case is sent both ways, and status,
headers, body, metrics and line in the log are the same."""

import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import redis
from flask import Flask, jsonify
from werkzeug.test import Client

from db.accounts import api_keys
from db.connections import Conn
from db.runtime.logs import Lines
from db.runtime.settings import settings
from tests.support.world import Caller, Sale, token_of
from web.app import create_app
from web.fast_path import ROUTES, FastPath
from web.support.cookies import NAME, csrf_token
from web.support.dumping import to_json
from web.support.sessions import Session, claims_of
from web.support.signing import sign
from web.support.snapshots import Snapshots

strangers = count(1_000_000)
"""Accounts that have done nothing yet."""

TELLING = {
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+": "TOKEN",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "UUID",
    r"\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?(\+\d\d:\d\d|Z)": "TIME",
    r'("(poll_after_s|retry_after|seconds_left|estimated_wait_s)": ?)[\d.]+': r"\1SECONDS",
    r'("(number|ahead)": ?)"?\d+"?': r"\1NUMBER",
    r'("code": ?)"[A-Z0-9]{8}"': r"\1CODE",
    r'("guid": ?)"\d-\d+"': r"\1GUID",
    r"\b[0-9a-f]{24}\b": "REQUEST",
}
"""What differs between two answers to the same request."""
SECONDS = ("RateLimit-Reset", "Retry-After")
ORIGIN = "http://127.0.0.1:8000"


def cookie_of(session: Session, fresh_for: int = 3600) -> str:
    """A browser's cookie as web/support/cookies.py sets it."""
    now = datetime.now(UTC)
    claims = {"r": int(now.timestamp()) + fresh_for, "exp": now + timedelta(days=30)}
    return f"{NAME}={sign(claims_of(session) | claims, 'cookie')}"


@dataclass
class Side:
    """One of the two ways, with a buyer of its own, who has an entry and a booking."""

    app: Flask
    wsgi: Any
    buyer: Caller
    entry: str
    booking: str
    ticket: str
    address: str
    reached_flask: bool = False

    @property
    def cookie(self) -> str:
        return cookie_of(Session(self.buyer.id, id=10**9 + self.buyer.id))

    @property
    def old_cookie(self) -> str:
        return cookie_of(Session(self.buyer.id, id=10**9 + self.buyer.id), fresh_for=-1)

    def send(self, case: "Case", sale: "Staged") -> dict[str, Any]:
        """All that can be seen of a case."""
        seen = [self.send_once(case, sale) for _ in range(case.times)]
        return {
            f"{name} {time}": what for time, one in enumerate(seen) for name, what in one.items()
        }

    def send_once(self, case: "Case", sale: "Staged") -> dict[str, Any]:
        before, Lines.stream, kept = self.counted(), io.StringIO(), Lines.stream
        self.reached_flask = False
        try:
            answer = Client(self.wsgi, use_cookies=False).open(
                case.path.format(sale=sale, side=self),
                method=case.method,
                headers={k: v.format(sale=sale, side=self) for k, v in case.headers.items()},
                environ_base={"REMOTE_ADDR": self.address},
                data=case.body,
            )
            lines = Lines.stream.getvalue()
        finally:
            Lines.stream = kept
        counted = self.counted()
        headers = dict(answer.headers)
        assert int(headers.pop("Content-Length", len(answer.data))) == len(answer.data) or (
            case.method == "HEAD"
        )
        return {
            "status": answer.status,
            "headers": {
                name: "SECONDS" if name in SECONDS else same(value)
                for name, value in sorted(headers.items())
            },
            "body": same(text_of(answer)),
            "lines": re.sub(r'"ms": [\d.]+', '"ms": MS', same(lines)),
            "counted": {k: n - before.get(k, 0) for k, n in counted.items() if n != before.get(k)},
        }

    def counted(self) -> dict[Any, int]:
        series = self.app.extensions["request_metrics"]._own.counted
        return {labels: sum(each.buckets) for labels, each in series.items()}


def text_of(answer: Any) -> str:
    packed = answer.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(answer.data).decode() if packed else str(answer.text)


def same(text: str) -> str:
    for pattern, name in TELLING.items():
        text = re.sub(pattern, name, text)
    return text


@dataclass
class Staged:
    """A sale, seen from both sides."""

    id: int
    draft: int
    elsewhere: str
    key: str
    tag: str = ""
    cursor: str = ""
    sides: tuple[Side, ...] = ()
    strange: str = ""
    """A token of an account that has done nothing."""
    cookie: str = ""
    csrf: str = ""
    """The cookie of such an account, and the header of its pages."""
    expired: str = ""
    foreign: str = ""
    ended: str = ""

    def compare(
        self, case: "Case", begin_anew: Callable[[], object] = lambda: None
    ) -> Iterator[str]:
        """What differs between the sides, and whether the case took the way it should."""
        seen = []
        for side in self.sides:
            self.strange = token_of(next(strangers))
            session = Session(next(strangers), id=10**9)
            self.cookie, self.csrf = cookie_of(session), csrf_token(session)
            begin_anew()
            seen.append(side.send(case, self))
        fast, flask = seen
        for name in fast:
            if fast[name] != flask[name]:
                yield f"{case}: {name}: {fast[name]} and {flask[name]}"
        if self.sides[0].reached_flask == case.is_fast:
            yield f"{case}: {'Flask' if case.is_fast else 'the fast path'} has answered it"

    def warm(self, app: Flask) -> None:
        """Have all documents made, so that the fast path can answer."""
        anybody, alice = Client(fast_path(app).inner), self.sides[1].buyer
        for path in ("", "/seats", "/availability", "/availability/bitmap", "/queue"):
            assert anybody.get(f"/v1/events/{self.id}{path}").status_code == 200
        auth = {"Authorization": f"Bearer {alice.token}"}
        assert anybody.get("/v1/me", headers=auth).status_code == 200


@dataclass
class Case:
    """A request, and whether the fast path answers it."""

    name: str
    path: str
    is_fast: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None
    times: int = 1

    def __str__(self) -> str:
        return f"{self.method} {self.path}, {self.name}"


EVENT = "/v1/events/{sale.id}"
OWN = {"Authorization": "Bearer {side.buyer.token}"}
TICKET = {"Authorization": "Bearer {side.ticket}"}
STRANGE = {"Authorization": "Bearer {sale.strange}"}

WRONG_TOKENS = {
    "no token": {},
    "an empty token": {"Authorization": "Bearer "},
    "another scheme": {"Authorization": "Basic {side.buyer.token}"},
    "a broken token": {"Authorization": "Bearer {side.buyer.token}x"},
    "no token at all": {"Authorization": "Bearer nonsense"},
    "letters of another alphabet": {"Authorization": "Bearer {side.buyer.token}ÿ"},
    "an expired token": {"Authorization": "Bearer {sale.expired}"},
    "a token that was ended": {"Authorization": "Bearer {sale.ended}"},
    "a token for another purpose": {"Authorization": "Bearer {sale.foreign}"},
    "a key": {"Authorization": "Bearer {sale.key}"},
    "a wrong key": {"Authorization": f"Bearer {api_keys.PREFIX}nonsense"},
}
ODD = [
    ("a parameter that is not known", "?more=1", {}),
    ("an empty parameter", "?", {}),
    ("a slash too many", "/", {}),
    ("a body", "", {"Content-Length": "2", "Content-Type": "text/plain"}),
]
HARMLESS: list[tuple[str, dict[str, str]]] = [
    ("nothing else", {}),
    ("an origin", {"Origin": "https://elsewhere.example"}),
    ("a language", {"Accept-Language": "de"}),
    ("a tag", {"If-None-Match": '"unknown"'}),
    ("an id of its own", {"X-Request-Id": "seven"}),
    ("an id that is not sane", {"X-Request-Id": "a b"}),
]


def around(path: str, auth: dict[str, str], fast: bool = True) -> Iterator[Case]:
    """What every route is asked."""
    for name, headers in HARMLESS:
        yield Case(name, path, fast, auth | headers)
    for name, more, headers in ODD:
        is_fast = fast and more == "?"
        yield Case(name, path + more, is_fast, auth | headers, body=b"{{" if headers else None)
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "BREW"):
        if not (method == "DELETE" and "side" in path):  # it would leave, or cancel
            yield Case("another method", path, False, auth, method)


DOCUMENTS = ("seats", "availability", "availability/bitmap")


def public() -> Iterator[Case]:
    for path in (EVENT, *(f"{EVENT}/{name}" for name in DOCUMENTS)):
        yield from around(path, {})
        yield Case("a cookie", path, True, {"Cookie": "session=1"})
        yield Case("a buyer", path, True, OWN)
        yield Case("a key", path, path != EVENT, WRONG_TOKENS["a key"])
        yield Case("a wrong key", path, path != EVENT, WRONG_TOKENS["a wrong key"])
        for id in ("{sale.draft}", "999999", "0", "01", "9223372036854775808", "%31x", "%D9%A1"):
            yield Case(f"event {id}", path.replace("{sale.id}", id))
        yield Case("a draft and a key", path.replace(".id", ".draft"), False, WRONG_TOKENS["a key"])
    for tag in ("{sale.tag}", "W/{sale.tag}", '"x", {sale.tag}', "*"):
        yield Case(f"tag {tag}", f"{EVENT}/seats", True, {"If-None-Match": tag})
    yield from bitmap()


def bitmap() -> Iterator[Case]:
    path = f"{EVENT}/availability/bitmap"
    for tag in ('W/"free-{sale.cursor}"', '"free-{sale.cursor}"', "*"):
        yield Case(f"tag {tag}", path, True, {"If-None-Match": tag})
    for encoding in ("gzip", "br, gzip;q=0.5", "*", "gzip;q=0", "identity", ""):
        yield Case(f"encoding {encoding}", path, True, {"Accept-Encoding": encoding})
    both = {"Accept-Encoding": "gzip", "If-None-Match": '"free-{sale.cursor}"'}
    yield Case("encoding and tag", path, True, both)
    for after in ("{sale.cursor}", "1", "9" * 18):
        yield Case(f"after {after}", f"{path}?after={after}", True, {"Accept-Encoding": "gzip"})
    for after in ("", "0", "01", "-1", "x", "1.0", "9" * 19, "1&after=2", "1&more=1", "%31"):
        yield Case(f"after {after}", f"{path}?after={after}")


def position() -> Iterator[Case]:
    path = f"{EVENT}/queue/position"
    yield from around(path, TICKET)
    yield Case("a ticket in the query", f"{path}?ticket={{side.ticket}}", True)
    yield Case(
        "both", f"{path}?ticket={{side.ticket}}", True, WRONG_TOKENS["a token for another purpose"]
    )
    yield Case("an empty ticket", f"{path}?ticket=", False, TICKET)
    yield Case("two tickets", f"{path}?ticket={{side.ticket}}&ticket=x")
    yield Case("a ticket and more", f"{path}?ticket={{side.ticket}}&more=1")
    yield Case("a ticket that is too long", f"{path}?ticket={'x' * 1001}")
    yield Case("an encoded ticket", f"{path}?ticket=%65yJ")
    yield Case("a ticket of another event", f"{path}?ticket={{sale.elsewhere}}")
    yield Case("another event", path.replace(".id", ".draft"), False, TICKET)
    yield Case("a token", path, False, OWN)
    for name, headers in WRONG_TOKENS.items():
        yield Case(name, path, False, headers)


def own() -> Iterator[Case]:
    for path in ("{side.entry}", "{side.booking}"):
        yield from around(path, OWN)
        yield Case("another cookie", path, True, OWN | {"Cookie": "session=1"})
        yield Case("a session's cookie", path, True, {"Cookie": "a=1; {side.cookie}; b=2"})
        yield Case("an old cookie", path, False, {"Cookie": "{side.old_cookie}"})
        yield Case("a wrong cookie", path, False, {"Cookie": "{side.cookie}x"})
        yield Case("of another buyer", path, False, STRANGE)
        for name, headers in WRONG_TOKENS.items():
            yield Case(name, path, False, headers)
    nothing = "00000000-0000-0000-0000-000000000000"
    for path in (f"{EVENT}/queue/{nothing}", f"{EVENT}/bookings/{nothing}"):
        yield Case("no such thing", path, False, OWN)
        yield Case("a bad id", path[:-1], False, OWN)
        yield Case("capital letters", path.replace("0000", "ABCD"), False, OWN)


WISHES: dict[str, bytes] = {
    "a pair": b'{"quantity": 2}',
    "with a category": b'{"quantity": 1, "category": 2, "together": false}',
    "with all": b'{"quantity":2,"category":1,"together":true,"seats":null,"accessible":0,'
    b'"accept_terms":true,"admission":false,"expected_total":19000}',
    "named seats": b'{"seats": ["1-1", " 1-2 "]}',
    "a pass": b'{"quantity": 1, "admission": true}',
    "a key that comes twice": b'{"quantity": 99, "quantity": 1}',
}
REFUSED: dict[str, bytes] = {
    "another total": b'{"quantity": 2, "category": 1, "expected_total": 1}',
    "more than is allowed": b'{"quantity": 50}',
    "an unknown seat": b'{"seats": ["9-9"]}',
    "an unknown category": b'{"quantity": 1, "category": 9}',
    "wheelchairs that do not fit": b'{"quantity": 2, "accessible": 2}',
}
"""By the database: the fast path hands over the error."""
WRONG: dict[str, bytes | None] = {
    "no body": None,
    "nothing": b"",
    "a number in quotes": b'{"quantity": "2"}',
    "a fraction": b'{"quantity": 2.0}',
    "true": b'{"quantity": true}',
    "null": b'{"quantity": null}',
    "none": b'{"quantity": 0}',
    "too many": b'{"quantity": 51}',
    "too large a number": b'{"quantity": %s}' % (b"9" * 30),
    "a number of thousands of digits": b'{"quantity": %s}' % (b"9" * 4000),
    "an unknown field": b'{"quantity": 2, "more": 1}',
    "seats and a number": b'{"quantity": 1, "seats": ["1-1", "1-2"]}',
    "the same seat twice": b'{"seats": ["1-1", "1-1"]}',
    "an empty seat": b'{"seats": [" "]}',
    "a seat with NUL": b'{"seats": ["1\\u0000"]}',
    "half of a pair": b'{"seats": ["\\ud800"]}',
    "a list": b"[]",
    "a word": b'"two"',
    "no JSON": b"{quantity: 2}",
    "NaN": b'{"quantity": NaN}',
    "other bytes": b"\xff\xfe{\x00",
    "a mark of the byte order": b'\xef\xbb\xbf{"quantity": 2}',
    "too deep": b'{"seats": %s}' % (b"[" * 2000),
    "too long": b'{"quantity": 2, "seats": ["%s"]}' % (b"x" * 5000),
    "much too long": b'{"quantity": 2, "seats": ["%s"]}' % (b"x" * 70_000),
}


def joining() -> Iterator[Case]:
    path = f"{EVENT}/queue"
    json_ = STRANGE | {"Idempotency-Key": "once", "Content-Type": "application/json"}
    pair = WISHES["a pair"]
    for name, body in WISHES.items():
        yield Case(name, path, True, json_, "POST", body)
        yield Case(f"{name}, again", path, True, json_, "POST", body, times=3)
    for name, body in REFUSED.items():
        yield Case(name, path, False, json_, "POST", body)
    for name, wrong in WRONG.items():
        yield Case(name, path, False, json_, "POST", wrong)
    yield Case("already waiting", path, False, json_ | OWN, "POST", pair)
    for name, headers in WRONG_TOKENS.items():
        yield Case(name, path, False, {**json_, "Authorization": ""} | headers, "POST", pair)
    for name, headers in HARMLESS:
        yield Case(name, path, True, json_ | headers, "POST", pair)
    for key in ("x" * 255, "a b", "~"):
        yield Case(f"key {key}", path, True, json_ | {"Idempotency-Key": key}, "POST", pair)
    for key in ("", "x" * 256, "ä", "\t"):
        yield Case(f"key {key!r}", path, False, json_ | {"Idempotency-Key": key}, "POST", pair)
    yield Case("no key", path, False, STRANGE | {"Content-Type": "application/json"}, "POST", pair)
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        yield Case(kind, path, True, json_ | {"Content-Type": kind}, "POST", pair)
    for kind in ("text/plain", "", "application/problem+json", "application/jsonx"):
        yield Case(f"type {kind}", path, False, json_ | {"Content-Type": kind}, "POST", pair)
    yield Case("a parameter", f"{path}?more=1", False, json_, "POST", pair)
    yield Case("another cookie", path, True, json_ | {"Cookie": "session=1"}, "POST", pair)
    page = {name: value for name, value in json_.items() if name != "Authorization"}
    page |= {"Cookie": "{sale.cookie}", "X-CSRF-Token": "{sale.csrf}", "Origin": ORIGIN}
    yield Case("a page of ours", path, True, page, "POST", pair)
    for name, changed in (
        ("another site", {"Origin": "https://evil.example"}),
        ("no header", {"X-CSRF-Token": ""}),
        ("an empty token", {"Authorization": ""}),
    ):
        yield Case(name, path, False, page | changed, "POST", pair)
    for id in ("{sale.draft}", "999999"):
        yield Case(f"event {id}", f"/v1/events/{id}/queue", False, json_, "POST", pair)


def limited_cases() -> Iterator[Case]:
    """The last one of each is one too many, or refused for another reason."""
    for path in (EVENT, *(f"{EVENT}/{name}" for name in DOCUMENTS)):
        yield Case("by address", path, False, times=7)
    yield Case("by account", f"{EVENT}/queue/position", False, TICKET, times=4)
    yield Case("by account", "{side.entry}", False, OWN, times=4)
    yield Case("by account", "{side.booking}", False, OWN, times=4)
    json_ = STRANGE | {"Idempotency-Key": "once", "Content-Type": "application/json"}
    yield Case("by account", f"{EVENT}/queue", False, json_, "POST", b'{"quantity": 1}', times=4)
    for id in ("{sale.id}", "{sale.draft}", "999999"):
        path = f"/v1/events/{id}/queue"
        yield Case(f"by event, of {id}", path, False, json_, "POST", b'{"quantity": 9}', times=3)


END_SESSIONS = "UPDATE sessions SET ended_at = clock_timestamp() WHERE account_id = %s"


@pytest.fixture
def stage(
    tosca: Sale,
    conn: Conn,
    alice: Caller,
    bob: Caller,
    charlie: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Flask], Staged]:
    def on(app: Flask) -> Staged:
        for kept in app.extensions.values():
            if isinstance(kept, Snapshots):
                monkeypatch.setattr(kept, "_seconds", 3600)
        sale = Staged(tosca.id, tosca.add_event().id, "", tosca.opera.token or "")
        other = tosca.add_event().open()
        sale.elsewhere = other.join(charlie).json["ticket"]
        sale.tag = f'"plan-version-{tosca.plan["version_id"]}"'
        mine = {"sub": str(charlie.id), "n": 0}
        now = datetime.now(UTC)
        sale.expired = sign(mine | {"exp": now - timedelta(minutes=1)}, "buyer")
        sale.foreign = sign(mine | {"exp": now + timedelta(minutes=1)}, "payment-result")
        sale.ended = charlie.token or ""
        conn.execute(END_SESSIONS, [charlie.id])
        app.extensions["ended_tokens"]._kept.clear()
        fast = fast_path(app)
        sides = []
        booked = [tosca.book(buyer, conn, quantity=2)["id"] for buyer in (alice, bob)]
        for number, (buyer, booking) in enumerate(zip((alice, bob), booked, strict=True)):
            joined = tosca.join(buyer).json
            side = Side(
                app,
                fast.inner,
                buyer,
                joined["links"]["self"],
                f"{tosca.path}/bookings/{booking}",
                joined["ticket"],
                f"192.0.2.{number + 1}",
            )
            sides.append(side)
        sides[0].wsgi = replace(fast, inner=spy(sides[0], fast.inner))
        sale.sides = tuple(sides)
        sale.warm(app)
        sale.cursor = str(app.extensions["free_bits"].get(sale.id).newest.number)
        return sale

    return on


def fast_path(app: Flask) -> FastPath:
    wsgi: Any = app.wsgi_app
    while not isinstance(wsgi, FastPath):
        wsgi = wsgi.inner
    return wsgi


def spy(side: Side, inner: Any) -> Any:
    def reach(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        side.reached_flask = True
        return inner(environ, start_response)

    return reach


@pytest.mark.parametrize("table", [public, position, own, joining])
def test_both_ways_answer_the_same(
    app: Flask, stage: Callable[[Flask], Staged], table: Callable[[], Iterator[Case]]
) -> None:
    sale = stage(app)
    wrong = [what for case in table() for what in sale.compare(case)]
    assert not wrong, "\n".join(wrong)


def test_both_ways_have_the_same_limits(
    configured: dict[str, str], stage: Callable[[Flask], Staged], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_LIMITS", "on")
    monkeypatch.setenv("CACHE_URL", configured["REDIS_URL"].replace("/0", "/1"))
    classes = ("position", "entry", "join")
    low = ",".join(f"{kind}.account=3 per hour" for kind in classes)
    monkeypatch.setenv("LIMITS", f"{low},read.account=3 per hour,read.address=6 per hour")
    settings.cache_clear()
    app = create_app()
    with redis.Redis.from_url(settings().cache_url) as counts:
        counts.flushdb()
        sale = stage(app)
        wrong = [w for case in limited_cases() for w in sale.compare(case, counts.flushdb)]
    assert not wrong, "\n".join(wrong)


def test_every_route_of_the_table_is_described(app: Flask) -> None:
    """And is one of Flask's, which answers what is not usual."""
    known = {rule.endpoint: rule for rule in app.url_map.iter_rules()}
    for (method, _, _), (endpoint, _) in ROUTES.items():
        assert method in (known[endpoint].methods or ())
    paths = json.loads(Client(app.wsgi_app).get("/openapi.json").text)["paths"]
    described = {
        path[method]["operationId"]
        for path in paths.values()
        for method in ("get", "post")
        if method in path
    }
    routes = {"joinQueue", "getEntry", "getBooking", "getPosition", "getChart", "getBitmap"}
    assert routes <= described


def test_letters_beyond_ascii_are_written_as_flask_writes_them() -> None:
    app = Flask("usher")
    for name in ("Zoe", "Zo\u00eb", "\u2603", "\U0001f3ad"):
        body = {"name": name, "b": [1, None, True, 2.5], "a": {"d": name, "c": 1}}
        with app.test_request_context():
            assert to_json(body) == jsonify(body).get_data()
