"""Sessions of browsers: the cookie, and who may use it."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from db.connections import Conn, one
from db.runtime.settings import settings
from tests.support.listening import Live, listening
from tests.support.world import Answer, Caller, Sale
from web.support.cookies import NAME, comes_from_own_page, csrf_token, origin_of
from web.support.sessions import Session
from web.support.signing import sign

DORA = {"email": "dora@example.org", "name": "Dora", "password": "correct horse"}
OWN = {"Origin": "http://127.0.0.1:8000"}
WISH = {"quantity": 1}


class Browser:
    """What a browser keeps of its session, and a page of ours that it shows."""

    def __init__(self, client: FlaskClient, answer: Answer) -> None:
        self.client = client
        self.answer = answer
        self.set_cookie = answer.headers["Set-Cookie"]
        self.cookie = self.set_cookie.partition(";")[0]
        self.csrf = answer.json["csrf_token"]

    def call(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """A request as the page sends it, but for changed headers: None leaves one out."""
        sent = {"Cookie": self.cookie, "X-CSRF-Token": self.csrf, **OWN}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in sent.items() if value is not None}
        more = {} if body is None else {"json": body}
        return self.client.open(path, method=method, headers=given, **more)


@pytest.fixture
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads for each request what was ended."""
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


@pytest.fixture
def dora(app: Flask) -> Browser:
    client = app.test_client(use_cookies=False)
    made = Caller(client).post("/v1/accounts", DORA | {"carrier": "cookie"}, headers=OWN)
    assert made.status_code == 201, made.text
    return Browser(client, made)


def test_the_cookie_is_for_this_host_alone_and_no_script_sees_it(dora: Browser) -> None:
    name, *attributes = dora.set_cookie.split("; ")
    assert name.startswith(f"{NAME}=")
    assert NAME.startswith("__Host-")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not any(a.startswith("Domain") for a in attributes)
    assert not {"token", "refresh_token"} & dora.answer.json.keys()


def test_a_browser_is_signed_in_by_its_cookie(dora: Browser) -> None:
    assert dora.call("GET", "/v1/me").json["name"] == "Dora"
    here = dora.call("GET", "/v1/me/session").json
    assert here["csrf_token"] == dora.csrf
    (row,) = dora.call("GET", "/v1/me/sessions").json
    assert (row["id"], row["carrier"], row["is_current"]) == (here["id"], "cookie", True)


FOREIGN: dict[str, dict[str, str | None]] = {
    "no header": {"X-CSRF-Token": None},
    "a wrong header": {"X-CSRF-Token": "A" * 32},
    "another session's header": {"X-CSRF-Token": "another"},
    "no origin": {"Origin": None},
    "another site": {"Origin": "https://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:8001"},
    "no site": {"Origin": "null"},
    "another scheme": {"Origin": "https://127.0.0.1:8000"},
}


def foreign(name: str) -> dict[str, str | None]:
    another = csrf_token(Session(1, id=10**6))
    return {k: another if v == "another" else v for k, v in FOREIGN[name].items()}


@pytest.mark.parametrize("way", FOREIGN)
def test_another_page_cannot_join_for_its_visitor(
    dora: Browser, tosca: Sale, conn: Conn, way: str
) -> None:
    """Neither on the fast path nor by Flask; the page's own request does."""
    path = f"{tosca.path}/queue"
    dora.call("GET", path)
    dora.call("GET", "/v1/me")  # the process knows now what has ended: the fast path answers
    for query in ("", "?by=flask"):
        refused = dora.call("POST", path + query, WISH, **{"Idempotency-Key": "1"} | foreign(way))
        assert refused.status_code == 403, refused.text
        assert conn.execute("select from entries").fetchall() == []
    assert dora.call("POST", path, WISH, **{"Idempotency-Key": "1"}).status_code == 201


@pytest.mark.parametrize("way", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v1/me/sessions"), ("PATCH", "/v1/me/sessions/1")]
)
def test_another_page_changes_nothing(
    dora: Browser, conn: Conn, method: str, path: str, way: str
) -> None:
    assert dora.call(method, path, {"name": "x"}, **foreign(way)).status_code == 403
    row = one(conn.execute("select name, ended_at from sessions"))
    assert (row["name"] != "x", row["ended_at"]) == (True, None)


def test_a_bearer_token_wins_over_a_cookie(dora: Browser, alice: Caller, tosca: Sale) -> None:
    """It needs neither header, and a wrong one is not made good by a cookie."""
    signed = {"Authorization": f"Bearer {alice.token}"}
    assert dora.call("GET", "/v1/me", **signed).json["id"] == alice.id
    elsewhere = {"Origin": "https://evil.example", "X-CSRF-Token": None, "Idempotency-Key": "1"}
    joined = dora.call("POST", f"{tosca.path}/queue", WISH, **signed | elsewhere)
    assert joined.status_code == 201
    assert alice.get(joined.json["links"]["self"]).status_code == 200
    for wrong in ("Bearer nonsense", "Basic ZG9yYTp4", "Bearer "):
        assert dora.call("GET", "/v1/me", Authorization=wrong).status_code == 401, wrong


def test_a_browsers_session_begins_on_a_page_of_ours(anybody: Caller, conn: Conn) -> None:
    """Else another page signs its visitor in to an account that it knows."""
    asked = {"email": DORA["email"], "password": DORA["password"], "carrier": "cookie"}
    elsewhere: list[dict[str, str]] = [{}, {"Origin": "https://evil.example"}]
    for headers in elsewhere:
        for path, body in (("/v1/accounts", asked | {"name": "Dora"}), ("/v1/tokens", asked)):
            answer = anybody.post(path, body, headers=headers)
            assert answer.status_code == 403
            assert "Set-Cookie" not in answer.headers
    assert conn.execute("select from sessions").fetchall() == []


def test_a_sign_in_never_takes_over_a_session_that_is_there(dora: Browser) -> None:
    """Session fixation: who plants a cookie in a browser does not share what it signs in to."""
    asked = {"email": DORA["email"], "password": DORA["password"], "carrier": "cookie"}
    later = dora.call("POST", "/v1/tokens", asked)
    assert later.status_code == 201
    assert Browser(dora.client, later).cookie != dora.cookie
    assert later.json["session_id"] != dora.answer.json["session_id"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", ["/v1/me/sessions", "/v1/me/sessions/{id}"])
def test_signing_out_removes_the_cookie(dora: Browser, path: str) -> None:
    gone = dora.call("DELETE", path.format(id=dora.answer.json["session_id"]))
    assert gone.status_code == 204
    assert re.match(rf"{NAME}=;.*(Max-Age=0|1970)", gone.headers["Set-Cookie"])
    assert dora.call("GET", "/v1/me").status_code == 401


def aged(conn: Conn) -> str:
    """The cookie of the only session, more than an hour old."""
    row = one(conn.execute("select * from sessions"))
    claims = {"sub": str(row["account_id"]), "n": 0, "sid": row["id"], "r": 1}
    return f"{NAME}={sign(claims | {'exp': row['expires_at']}, 'cookie')}"


def test_an_old_cookie_is_renewed_by_the_row_as_often_as_it_comes(
    dora: Browser, tosca: Sale, conn: Conn
) -> None:
    """Requests of a page come at once, and answers get lost."""
    dora.cookie = aged(conn)
    conn.execute("update sessions set used_at = used_at - interval '2 h'")
    answers = [dora.call("GET", "/v1/me") for _ in range(2)]
    path = f"{tosca.path}/queue"
    answers.append(dora.call("POST", path, WISH, **{"Idempotency-Key": "1"}))
    assert [a.status_code for a in answers] == [200, 200, 201]
    for answer in answers:
        dora.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        fresh = dora.call("GET", "/v1/me")
        assert (fresh.status_code, "Set-Cookie" in fresh.headers) == (200, False)


@pytest.mark.parametrize("ended", ["ended_at", "expires_at"])
def test_an_old_cookie_of_a_session_that_has_ended_opens_nothing(
    dora: Browser, conn: Conn, ended: str
) -> None:
    dora.cookie = aged(conn)
    conn.execute(f"update sessions set {ended} = clock_timestamp()")
    assert dora.call("GET", "/v1/me").status_code == 401


def test_tokens_and_cookies_are_not_each_other(dora: Browser, alice: Caller) -> None:
    value = dora.cookie.partition("=")[2]
    assert dora.call("GET", "/v1/me", Authorization=f"Bearer {value}").status_code == 401
    dora.cookie = f"{NAME}={alice.token}"
    assert dora.call("GET", "/v1/me").status_code == 401


def test_a_page_that_is_open_while_the_secret_key_changes_goes_on(
    dora: Browser, monkeypatch: pytest.MonkeyPatch, configured: dict[str, str]
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a new key for tests that is long enough, too")
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", configured["SECRET_KEY"])
    settings.cache_clear()
    assert dora.call("DELETE", "/v1/me/sessions?keep_this=true").status_code == 204


def test_no_page_of_another_site_may_read_an_answer_to_a_cookie(dora: Browser, tosca: Sale) -> None:
    for path in ("/v1/me", f"{tosca.path}/queue", tosca.path, "/v1/events"):
        answer = dora.call("GET", path, Origin="https://evil.example")
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.processes
def test_a_browser_listens_by_its_cookie_until_the_session_ends(
    dora: Browser, live: Live, tosca: Sale
) -> None:
    path = f"{tosca.path}/queue"
    assert dora.call("POST", path, WISH, **{"Idempotency-Key": "1"}).status_code == 201
    with listening(live, f"{path}/stream", cookie=dora.cookie) as listener:
        assert listener.next().name == "position"
        assert "Access-Control-Allow-Credentials" not in listener.response.headers
        dora.call("DELETE", "/v1/me/sessions")
        while listener.read() is not None:
            pass
    with listening(live, f"{path}/stream", cookie=dora.cookie) as listener:
        assert listener.response.status_code == 401


def test_an_origin_is_written_as_browsers_write_it() -> None:
    assert origin_of("https://Tickets.example:443/shop/") == "https://tickets.example"
    assert origin_of("http://localhost:8000") == "http://localhost:8000"


@pytest.mark.usefixtures("configured")
def test_only_what_changes_something_needs_the_header() -> None:
    for method, allowed in (("GET", True), ("POST", False), ("PUT", False), ("DELETE", False)):
        assert comes_from_own_page({"REQUEST_METHOD": method}, Session(1, id=2)) is allowed
