"""Attacks with requests themselves: too large, too slow, malformed, too many, spelt otherwise."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import requests

from ops.hostile.clients import Client, answer_to, connect, status_of
from ops.hostile.scene import STREAMS_AN_ADDRESS, Event, Scene, at_once, meanwhile
from ops.hostile.table import attack
from ops.plans.arena import arena
from web.api.lanes import OWN_WEIGHTS

MIB = 2**20
HEADERS = ("X-Content-Type-Options", "Content-Security-Policy", "Cache-Control")


def huge_plans() -> Iterator[Callable[[], bytes]]:
    """Plans of many MiB that are small when they are made and large when they are read."""
    yield lambda: b'{"zones":[' + b"[]," * (64 * MIB // 3 - 10) + b"[]]}"
    yield lambda: b'{"zones":' + b"[" * (4 * MIB) + b"]" * (4 * MIB) + b"}"
    yield lambda: b'{"categories":[' + b'{"name":"a"},' * (30 * MIB // 13) + b'{"name":"b"}]}'
    yield lambda: b"{" + b",".join(b'"k%d":1' % n for n in range(2 * MIB)) + b"}"
    yield lambda: b'{"name":"' + b"a" * (60 * MIB) + b'","zones":[]}'


def send_plan(scene: Scene, content: bytes) -> int:
    """The status of an import, or of the problem with which it fails; 0 if the connection ended."""
    url = f"{scene.stack.web_url}/v1/venues/{scene.venue['id']}/plans"
    headers = {**scene.organiser.http.headers, "Content-Type": "application/json"}
    try:
        answer = requests.post(url, data=content, headers=headers, timeout=60)
    except requests.ConnectionError:
        return 0
    if answer.status_code != 202:
        return answer.status_code
    problem = scene.organiser.follow_import(answer.json())["problem"]
    return int(problem["status"]) if problem else 201


@attack("H5", "web processes that died, or answers other than 4xx", 0)
def plans_that_are_huge_when_read(scene: Scene) -> list[str]:
    """Plans of up to 64 MiB with millions of empty parts, deep nesting, or millions of names."""
    deaths = deaths_of_workers(scene)
    statuses = [send_plan(scene, make()) for make in huge_plans()]
    wrong = [
        f"plan {n}: {status}" for n, status in enumerate(statuses, 1) if not 400 <= status < 500
    ]
    return wrong + ["a web process died"] * (deaths_of_workers(scene) - deaths)


def deaths_of_workers(scene: Scene) -> int:
    """How often gunicorn or a worker of it was ended by the system, or a request ran too long."""
    (web,) = scene.stack.supervisor.select("web")
    said = web.log_path.read_text(errors="replace")
    return web.starts - 1 + said.count("WORKER TIMEOUT") + said.count("was sent SIG")


@attack("H5", "seconds that the slowest answer to others takes", 3)
def others_wait_behind_a_huge_plan(scene: Scene) -> float:
    """A plan of 64 MiB, then a stadium, are read while buyers look at an event."""
    event, alice = scene.event(), scene.client()
    plans = [next(huge_plans())(), json.dumps(arena(40_000)).encode()]
    sending = threading.Thread(target=lambda: [send_plan(scene, plan) for plan in plans])
    sending.start()
    slowest = 0.0
    while sending.is_alive():
        slowest = max(slowest, alice.get(event.path).elapsed.total_seconds())
        time.sleep(0.05)
    return slowest


@attack("streams", "open streams of one guest", 10)
def one_guest_opens_many_streams(scene: Scene) -> float:
    """One guest opens thirty streams."""
    event, guest = standing_queue(scene), scene.guest()
    with opened(event, [guest] * 30) as count:
        return count


@attack(
    "streams", "open streams of one address, or streams that others cannot open", STREAMS_AN_ADDRESS
)
def one_address_opens_many_streams(scene: Scene) -> float:
    """Eight guests at one address open eighty streams; then a buyer elsewhere opens one."""
    event, address = standing_queue(scene), scene.address()
    guests = scene.guests(8, address)
    with opened(event, guests * 10) as count, opened(event, [scene.guest()]) as elsewhere:
        return count if elsewhere == 1 else 10 * STREAMS_AN_ADDRESS


def standing_queue(scene: Scene) -> Event:
    """An event whose queue does not move, so that streams stay open."""
    event = scene.event(gated=True)
    scene.organiser.post(f"{event.path}/pause", {})
    return event


@contextmanager
def opened(event: Event, guests: list[Client]) -> Iterator[int]:
    """How many streams are open: one of each guest in the list."""
    for guest in set(guests):
        guest.post(f"{event.path}/queue", {"quantity": 1}, key=str(guest.id)).raise_for_status()
    with ExitStack() as streams:
        path = f"{event.path}/queue/stream"
        answers = at_once(lambda guest: guest.get(path, stream=True, timeout=10), guests, 10)
        for answer in answers:
            streams.enter_context(answer)
        yield sum(answer.status_code == 200 for answer in answers)


@attack("documents", "times that the document of a hot event was made in ten seconds", 12)
def ids_that_do_not_exist_evict_documents(scene: Scene) -> float:
    """Documents of thousands of events that do not exist are asked for, so that those of a hot
    event are made anew for each reader."""
    event, mallory = scene.event(), scene.client(scene.stack.direct_url)

    def ask_for_nothing(first: int, over: threading.Event) -> None:
        for n in range(600):
            if not over.is_set():
                part = ("queue", "availability", "seats")[n % 3]
                mallory.get(f"/v1/events/{first + n}/{part}")

    reader, made, until = scene.client(), set[str](), time.monotonic() + 10
    with meanwhile(*(partial(ask_for_nothing, 10**9 + 10**6 * k) for k in range(4))):
        while time.monotonic() < until:
            made.add(reader.get(f"{event.path}/queue").json()["as_of"])
            time.sleep(0.05)
    return len(made)


@attack("idempotency", "refunds for one key", 1)
def one_key_in_many_spellings_of_the_path(scene: Scene) -> float:
    """A refund is asked for under one key, with the booking's id in several letter cases and the
    path in several spellings."""
    event, alice = scene.event(), scene.guest(name="Alice")
    booking = event.held(alice, 2)
    event.pay(alice, booking).raise_for_status()
    event.outcome(alice, booking)
    id = booking.rpartition("/")[2]
    body = {"amount": 100, "reason": "asked"}
    for spelt in (id, id.upper(), id.title(), f"%{ord(id[0]):x}{id[1:]}", id.swapcase()):
        url = f"{scene.stack.web_url}{event.path}/bookings/{spelt}/refunds"
        scene.organiser.http.post(url, json=body, headers={"Idempotency-Key": "one"}, timeout=30)
    return scene.count("SELECT count(*) AS n FROM refunds WHERE event_id = %s", event.id)


@attack("weight", "the greatest weight that an organisation can give to its event", OWN_WEIGHTS[1])
def an_organisation_makes_itself_important(scene: Scene) -> float:
    """An organisation sets the weight of its event beside those of others."""
    event = scene.event()
    url = f"{scene.stack.web_url}{event.path}/lane"
    for weight in (1e308, 1000, 100, OWN_WEIGHTS[1] + 0.01, "100", 1e-9):
        scene.organiser.http.patch(url, json={"weight": weight}, timeout=30)
    query = "SELECT ceil(weight) AS n FROM lanes WHERE event_id = %s"
    return scene.count(query, event.id)


HEAD = b"POST /v1/accounts HTTP/1.1\r\nHost: tickets.example\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = [
    CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2{}\r\n0\r\n\r\n",
    CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    CHUNKED + b"2;" + b"a" * 9000 + b"\r\n{}\r\n0\r\n\r\n",
    CHUNKED + b"2\n{}\n0\n\n",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 2x\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /v1/events HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /v1/events HTTP/9.9\r\nHost: a\r\n\r\n",
    b"\x00\xff\r\n\r\n",
]


@attack("chunks", "answers that call it a fault of ours, or tracebacks in the log", 0)
def malformed_requests(scene: Scene) -> list[str]:
    """Malformed chunks, lengths and heads, through the proxies and to the web processes."""
    (web,) = scene.stack.supervisor.select("web")
    before = web.log_path.read_text(errors="replace").count("Traceback")
    urls = [scene.stack.web_url, scene.stack.direct_url, scene.nginx_url]
    forms = [(url, content) for url in urls if url for content in MALFORMED]
    statuses = at_once(lambda form: status_of(*form, scene.address()), forms, threads=8)
    tracebacks = web.log_path.read_text(errors="replace").count("Traceback") - before
    ours = [
        f"{url} {status} for {content[-60:]!r}"
        for (url, content), status in zip(forms, statuses, strict=True)
        if status in (500, 502, 503, 504)
    ]
    return ours + ["a traceback in the log"] * tracebacks


LONG_HEAD = b"GET /v1/events HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n"


@attack("headers", "answers without nosniff, a content security policy or a cache's rule", 0)
def answers_to_what_cannot_be_read(scene: Scene) -> list[str]:
    """Malformed requests and heads that are too long are answered by gunicorn and by nginx
    themselves. Caddy's own answer, four words of plain text, cannot be changed."""
    wrong = list[str]()
    for url in filter(None, (scene.stack.direct_url, scene.nginx_url)):
        for content in [*MALFORMED, LONG_HEAD]:
            status, found = answer_to(url, content, scene.address())
            if lacks := [name for name in HEADERS if status and name not in found]:
                wrong.append(f"{url} {status} for {content[-60:]!r} without {', '.join(lacks)}")
    return wrong


@attack("slow clients", "seconds that the slowest answer to others takes", 1.5)
def requests_that_never_end(scene: Scene) -> float:
    """A hundred connections each send half a head or half a body, and wait."""
    event, address, alice = scene.event(), scene.address(), scene.client()
    half_body = HEAD + b"Content-Length: 200\r\n\r\n{"
    with ExitStack() as held:
        for n in range(100):
            raw = held.enter_context(connect(scene.stack.web_url, address))
            raw.sendall(HEAD if n % 2 else half_body)
        times = [alice.get(event.path).elapsed.total_seconds() for _ in range(20)]
    return max(times)


@attack("headers", "answers without nosniff, a content security policy or a cache's rule", 0)
def answers_that_a_browser_may_guess_about(scene: Scene) -> list[str]:
    """Answers of all kinds are looked at: documents, errors, refusals of the proxy, streams."""
    event, guest = scene.event(), scene.guest()
    paths = [
        "/v1/events", event.path, f"{event.path}/queue", f"{event.path}/seats", "/v1/me", "/docs",
        f"{event.path}/availability", "/v1/nothing", "/v1/me/bookings", "/openapi.json", "/healthz",
        f"{event.path}/queue/stream", "/payment-result", "/metrics",
    ]  # fmt: skip
    answers = [guest.get(path, stream=True) for path in paths]
    answers += [guest.post("/v1/accounts", {"name": "x" * n}) for n in (10**5, 2 * MIB)]
    answers.append(guest.ask("POST", "/v1/accounts", data=json.dumps({"a": 1})))
    for answer in answers:
        answer.close()
    return [told for answer in answers for told in what_lacks(answer)]


def is_of_caddy(answer: requests.Response) -> bool:
    """Whether Caddy itself answered what it cannot read, which cannot be changed. It does so, too,
    when it has refused a long body and takes what is left of it for the next request."""
    kind = answer.headers.get("Content-Type", "")
    return answer.status_code in (400, 431) and kind.startswith("text/plain")


def what_lacks(answer: requests.Response) -> Iterator[str]:
    """One line for an answer that lacks some of the headers."""
    if is_of_caddy(answer):
        return
    if lacks := [name for name in HEADERS if name not in answer.headers]:
        asked = f"{answer.request.method} {answer.request.path_url[:80]}"
        has = dict(answer.headers)
        yield f"{asked}: {answer.status_code} without {', '.join(lacks)}, with {has}"
