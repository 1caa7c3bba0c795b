"""ops/deploy/nginx/usher.conf, in a real nginx in front of a web app and a live process."""

import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from flask import request

from db.connections import Conn
from ops.hostile.clients import answer_to
from ops.local.nginx import configure, running_nginx
from ops.local.servers import free_port
from tests.support.listening import Live, hear_the_turn
from tests.support.programs import need_program
from tests.support.sites import serving
from tests.support.staff import sign_in_staff
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale
from web.app import create_app
from web.support.headers import LIVE, NOTHING

pytestmark = pytest.mark.system


def test_nginx_accepts_it(tmp_path: Path) -> None:
    main = configure(tmp_path, free_port(), 8000, 8001)
    command = [need_program("nginx"), "-t", "-p", str(tmp_path), "-c", str(main)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert run.returncode == 0, run.stderr
    assert "[warn]" not in run.stderr, run.stderr


@dataclass
class Proxied:
    """What nginx is reached at; asked: the requests that came through to the web app."""

    url: str
    asked: list[str]
    log: Path

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=10)


@pytest.fixture
def proxied(configured: dict[str, str], live: Live, tmp_path: Path) -> Iterator[Proxied]:
    app, asked = create_app(), list[str]()
    app.before_request(lambda: asked.append(f"{request.method} {request.path}"))
    port = free_port()
    found = Proxied(f"http://127.0.0.1:{port}", asked, tmp_path / "access.log")
    with serving(app) as url:
        main = configure(tmp_path, port, urlsplit(url).port or 0, live.port)
        with running_nginx(need_program("nginx"), tmp_path, main):
            wait_until(lambda: is_up(found))
            yield found


def is_up(proxied: Proxied) -> bool:
    try:
        return proxied.get("/healthz").ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    "part", ["/queue", "/availability", "/availability/bitmap", "/seats", "/charts/{version}", ""]
)
def test_a_crowd_is_served_one_copy(proxied: Proxied, tosca: Sale, part: str) -> None:
    path = tosca.path + part.format(version=tosca.plan["version_id"])
    proxied.asked.clear()
    began = time.monotonic()
    with ThreadPoolExecutor(20) as crowd:
        answers = list(crowd.map(lambda _: proxied.get(path), range(300)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 300
    assert 1 <= proxied.asked.count(f"GET {path}") <= 2 + time.monotonic() - began


SPELLINGS = [
    "/v1/events/{id}/./queue",
    "/v1/events/{id}//queue",
    "//v1/events/{id}/queue",
    "/v1/events/{id}/queue/../queue",
    "/v1/events/{id}/%71ueue",
    "/v1/events/{id}/%2e/queue",
    "/v1/events/{id}/queue?x=1",
    "/v1/events/{id}/queue#x",
    "/v1/./events/{id}/queue",
]


def wait_until_stored_copies_are_old() -> None:
    """Copies are renewed after a second; while one is fresh, nothing else could take its place."""
    time.sleep(1.1)


def ask_raw(proxied: Proxied, target: str, host: str = "tickets.example") -> int:
    """The status of a request whose target is sent as it is: clients normalise it otherwise."""
    address = urlsplit(proxied.url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=10) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return int(raw.makefile("rb").readline().split()[1])


@pytest.mark.faults("H1")
@pytest.mark.parametrize("part", ["queue", "availability", "seats"])
def test_another_spelling_of_a_path_stores_nothing_for_others(
    proxied: Proxied, tosca: Sale, part: str
) -> None:
    for spelling in SPELLINGS:
        target = spelling.format(id=tosca.id).replace("queue", part)
        wait_until_stored_copies_are_old()
        statuses = {ask_raw(proxied, target) for _ in range(20)}
        assert statuses <= {200}, spelling
        assert proxied.get(f"{tosca.path}/{part}").status_code == 200, spelling


@pytest.mark.faults("H1")
def test_errors_are_not_stored(proxied: Proxied, hall: Sale) -> None:
    """A draft is opened: the next request sees it, also when others asked for it before."""
    draft = hall.add_event()
    assert {proxied.get(draft.path + part).status_code for part in ("", "/queue")} == {404}
    assert hall.opera.post(f"{draft.path}/open").status_code == 200
    assert {proxied.get(draft.path + part).status_code for part in ("", "/queue")} == {200}


@pytest.mark.faults("H1")
def test_queries_hosts_and_tokens_make_no_misses(proxied: Proxied, tosca: Sale) -> None:
    path = f"{tosca.path}/seats"
    assert proxied.get(path).status_code == 200
    proxied.asked.clear()
    for n in range(5):
        assert ask_raw(proxied, f"{path}?x={n}") == 200
        assert ask_raw(proxied, path, host=f"host-{n}.example") == 200
        assert proxied.get(path, Authorization=f"Bearer nonsense-{n}").status_code == 200
    assert proxied.asked == []


@pytest.mark.faults("H1")
@pytest.mark.parametrize("query", ["", "?x=7", "?limit=1", "?starting_after=0&x=8&limit=1"])
def test_of_a_query_only_what_makes_a_difference_is_passed_on(
    proxied: Proxied, tosca: Sale, query: str
) -> None:
    assert [event["id"] for event in proxied.get(f"/v1/events{query}").json()] == [tosca.id]
    assert proxied.get("/v1/events?limit=0").status_code == 422


@pytest.mark.parametrize("part", ["/availability/bitmap", "/charts/{version}"])
def test_one_copy_is_kept_for_who_reads_gzip_and_one_for_others(
    proxied: Proxied, tosca: Sale, part: str
) -> None:
    path = tosca.path + part.format(version=tosca.plan["version_id"])
    plain = [proxied.get(path, **{"Accept-Encoding": e}) for e in ("", "br", "gzip;q=0")]
    assert {answer.headers.get("Content-Encoding") for answer in plain} == {None}
    proxied.asked.clear()
    packed = [
        proxied.get(path, **{"Accept-Encoding": encoding})
        for encoding in ("gzip", "br, gzip", "gzip, deflate", "deflate,gzip;q=0.5")
    ]
    assert {answer.headers["Content-Encoding"] for answer in packed} == {"gzip"}
    assert {answer.text for answer in packed} == {plain[0].text}
    assert len([asked for asked in proxied.asked if path in asked]) <= 2


def test_copies_are_renewed(proxied: Proxied, tosca: Sale, alice: Caller) -> None:
    first = proxied.get(f"{tosca.path}/queue")
    tag = first.headers["ETag"]
    assert proxied.get(f"{tosca.path}/queue", **{"If-None-Match": tag}).status_code == 304
    joined = requests.post(
        f"{proxied.url}{tosca.path}/queue",
        json={"quantity": 1},
        headers={"Authorization": f"Bearer {alice.token}", "Idempotency-Key": "once"},
        timeout=10,
    )
    assert joined.status_code == 201
    wait_until(lambda: proxied.get(f"{tosca.path}/queue").json()["waiting"] == 1)


def test_drafts_are_not_kept_for_others(proxied: Proxied, hall: Sale) -> None:
    draft = hall.add_event()
    own = {"Authorization": f"Bearer {hall.opera.token}"}
    assert proxied.get(draft.path, **own).status_code == 200
    assert proxied.get(draft.path).status_code == 404
    assert proxied.get(draft.path, **own).status_code == 200


def test_drafts_of_a_member_are_not_kept_for_others(proxied: Proxied, hall: Sale) -> None:
    draft, organisation = hall.add_event(), str(hall.opera.id)
    door = sign_in_staff(create_app(), "door", hall.opera.id)
    own = {"Authorization": f"Bearer {door.token}", "Usher-Organisation": organisation}
    for _ in range(2):
        assert proxied.get(draft.path, **own).status_code == 200
        assert proxied.get(draft.path).status_code == 404


def test_events_come_through_at_once(
    proxied: Proxied, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    ticket = hear_the_turn(proxied.url, tosca, alice, conn)
    wait_until(lambda: "/queue/stream" in proxied.log.read_text())
    assert ticket not in proxied.log.read_text()


@pytest.mark.faults("headers")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/events HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00\xff\r\n\r\n",
    ],
)
def test_answers_of_its_own_have_the_headers_of_all(proxied: Proxied, request_bytes: bytes) -> None:
    status, found = answer_to(proxied.url, request_bytes)
    assert 400 <= status < 500
    assert found.get_all("X-Content-Type-Options") == ["nosniff"]
    assert found.get_all("Cache-Control") == ["no-store"]
    assert found.get_all("Content-Security-Policy") == [NOTHING]


@pytest.mark.parametrize("part", ["", "/queue", "/availability", "/seats"])
def test_it_adds_no_header_that_there_is(proxied: Proxied, tosca: Sale, part: str) -> None:
    head = f"GET {tosca.path}{part} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    for _ in range(2):  # from the web process, and from the cache
        status, found = answer_to(proxied.url, head)
        assert status == 200
        for name in LIVE:
            assert len(found.get_all(name) or []) == 1, (name, found.items())


def test_gauges_are_for_this_machine(proxied: Proxied) -> None:
    assert proxied.get("/metrics").status_code == 200


def test_notifications_may_be_longer_than_requests(proxied: Proxied) -> None:
    """The app answers both: it finds no signature, and no such account."""
    long = b" " * 2**19
    headers = {"Content-Type": "application/json"}
    for path in ("/webhooks/stripe", "/webhooks/stripe/7"):
        stored = requests.post(f"{proxied.url}{path}", long, headers=headers, timeout=10)
        assert (stored.status_code, f"POST {path}" in proxied.asked) == (400, True)
    refused = requests.post(f"{proxied.url}/v1/accounts", long, headers=headers, timeout=10)
    assert refused.status_code == 413
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["status"] == 413
    assert "POST /v1/accounts" not in proxied.asked


def test_processes_that_are_away_are_a_problem_like_others(
    proxied: Proxied, live: Live, tosca: Sale
) -> None:
    live.process.kill()
    live.process.wait()
    away = proxied.get(f"{tosca.path}/queue/stream")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")
    assert away.headers["Content-Type"] == "application/problem+json"
    assert away.json()["request_id"] == away.headers["X-Request-Id"]
