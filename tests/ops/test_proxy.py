"""The proxy of this machine, in front of a web app and a live process: ops/local/Caddyfile."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from flask import request

from db.connections import Conn
from db.runtime.settings import settings
from ops.hostile.addresses import forged_headers
from ops.hostile.clients import Client, connect
from ops.local.proxy import COMMAND, proxy_env, source_address
from ops.local.servers import free_port
from ops.local.stack import HOST_V6, has_ipv6
from tests.support.listening import Live, answers, hear_the_turn
from tests.support.processes import environment_of, process
from tests.support.sites import serving
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale
from web.app import create_app
from web.support import headers
from web.support.blueprint import MAX_BODY
from web.support.client_address import client

pytestmark = [pytest.mark.processes, pytest.mark.faults("X-Forwarded-For")]


@dataclass
class Proxied:
    """What the proxy is reached at, and what came through: from whom, and which requests."""

    port: int
    clients: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def note(self) -> None:
        self.clients.append(client())
        self.asked.append(f"{request.method} {request.path}")


@pytest.fixture
def proxied(
    configured: dict[str, str], live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proxied]:
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    settings.cache_clear()
    app, found = create_app(), Proxied(free_port())
    app.before_request(found.note)
    hosts = ["127.0.0.1", *([HOST_V6] if has_ipv6() else [])]
    with serving(app) as web_url:
        env = environment_of(proxy_env(tmp_path / "proxy", found.port, hosts, web_url, live.url))
        with process(COMMAND, env, tmp_path / "proxy.log"):
            wait_until(lambda: answers(f"{found.url}/healthz"), 20)
            yield found


def test_each_client_is_known_by_the_address_it_comes_from(proxied: Proxied) -> None:
    for number in (0, 1, 299):
        assert Client(proxied.url, source_address(number)).get("/v1/events").ok
        assert proxied.clients[-1] == source_address(number)
    if has_ipv6():
        assert requests.get(f"http://[{HOST_V6}]:{proxied.port}/v1/events", timeout=10).ok
        assert proxied.clients[-1] == "::/64"


def test_an_address_that_a_client_makes_up_is_replaced(proxied: Proxied) -> None:
    mallory = Client(proxied.url, source_address(7))
    for n in range(26):
        assert mallory.get("/v1/events", headers=forged_headers(n)).ok
    assert set(proxied.clients[-26:]) == {source_address(7)}


def test_events_come_through_at_once(
    proxied: Proxied, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    hear_the_turn(proxied.url, tosca, alice, conn)


def test_half_a_request_takes_no_place_of_the_web_processes(proxied: Proxied) -> None:
    head = b"POST /v1/accounts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with connect(proxied.url) as raw:
        raw.sendall(head + b'Content-Length: 48\r\n\r\n{"email": "a@example.org",')
        assert requests.get(f"{proxied.url}/v1/events", timeout=10).ok
        assert "POST /v1/accounts" not in proxied.asked
        raw.sendall(b' "name": "Alice"}     ')
        assert raw.makefile("rb").readline().split()[1] == b"201"


def test_metrics_are_not_shown_through_it(proxied: Proxied) -> None:
    for given in ({}, {"X-Forwarded-For": "127.0.0.1"}):
        answer = requests.get(f"{proxied.url}/metrics", headers=given, timeout=10)
        assert answer.status_code == 404


def test_a_body_is_refused_that_is_too_long_and_a_plan_may_be_long(proxied: Proxied) -> None:
    def post(path: str, length: int = 2 * 2**20) -> requests.Response:
        json = {"Content-Type": "application/json"}
        return requests.post(proxied.url + path, b" " * length, headers=json, timeout=10)

    refused = post("/v1/accounts", MAX_BODY + 1)
    assert post("/v1/accounts", MAX_BODY).status_code == 400
    assert post("/webhooks/stripe", MAX_BODY + 1).status_code == 400, "no signature"
    assert (refused.status_code, refused.json()["status"]) == (413, 413)
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    plan = post("/v1/venues/1/plans")
    assert (plan.status_code, "POST /v1/venues/1/plans" in proxied.asked) == (401, True)


@pytest.mark.faults("headers")
def test_answers_that_usher_does_not_make_have_the_headers_of_all(
    proxied: Proxied, tosca: Sale
) -> None:
    """The live process' server cannot read so long a head, and Usher never hears of it."""
    url = f"{proxied.url}{tosca.path}/queue/stream"
    answer = requests.get(url, headers={"X-Long": "a" * 20_000}, timeout=10)
    assert answer.status_code == 400
    for name, value in headers.LIVE.items():
        assert name == "Referrer-Policy" or answer.headers[name] == value
    docs = requests.get(f"{proxied.url}/docs", timeout=10)
    for name in headers.LIVE:
        assert len(docs.raw.headers.getlist(name)) == 1, "Usher's own stay"


def test_processes_that_are_away_are_a_problem_like_others(
    proxied: Proxied, live: Live, tosca: Sale
) -> None:
    live.process.kill()
    live.process.wait()
    away = requests.get(f"{proxied.url}{tosca.path}/queue/stream", timeout=10)
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")
    assert away.headers["Content-Type"].startswith("application/problem+json")
    assert away.json()["retry_after"] == 2


def test_any_host_is_served(proxied: Proxied) -> None:
    parts = urlsplit(proxied.url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: tickets.example\r\nConnection: close\r\n\r\n")
        assert raw.makefile("rb").readline().split()[1] == b"200"
