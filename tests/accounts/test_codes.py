"""Mailed codes: who can use one, how often, and that guessing hurts no one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from db.accounts import codes
from db.accounts.codes import make_code
from db.connections import Conn, one, transaction
from tests.support.world import Answer, Caller
from web.support.cookies import NAME, REQUEST_NAME

ALICE = "alice@example.org"
OWN = {"Origin": "http://127.0.0.1:8000"}


def ask(anybody: Caller, conn: Conn, email: str = ALICE) -> dict[str, str]:
    """What signs in: the code from the mail, with the secret of who asked."""
    asked = anybody.post("/v1/tokens", {"email": email})
    assert asked.status_code == 202
    return {"code": latest_code(conn), "request": asked.json["request"]}


def latest_code(conn: Conn) -> str:
    query = "select context ->> 'code' as code from emails order by created_at desc limit 1"
    return str(one(conn.execute(query))["code"])


def wrong(code: dict[str, str]) -> dict[str, str]:
    return code | {"code": f"{(int(code['code']) + 1) % 10**6:06}"}


def sign_in(anybody: Caller, code: dict[str, str]) -> Answer:
    return anybody.post("/v1/tokens", code)


def test_a_code_from_the_e_mail_signs_in(anybody: Caller, alice: Caller, conn: Conn) -> None:
    code = ask(anybody, conn)
    email = one(conn.execute("select id, buyer_id, template from emails"))
    task = conn.execute("select actor, queue, args from outbox").fetchone()
    assert (email["buyer_id"], email["template"]) == (alice.id, "sign_in")
    assert task == {"actor": "send_email", "queue": "mail", "args": {"email_id": str(email["id"])}}
    assert len(code["code"]) == 6
    token = sign_in(anybody, code)
    assert token.status_code == 201
    assert Caller(anybody.client, token.json["token"]).get("/v1/me").json["id"] == alice.id
    row = one(conn.execute("select authenticated_by from sessions order by id desc limit 1"))
    assert row["authenticated_by"] == "code"


def test_a_code_may_be_typed_as_people_type(anybody: Caller, alice: Caller, conn: Conn) -> None:
    code = ask(anybody, conn)
    typed = code | {"code": f" {code['code'][:3]} {code['code'][3:]}"}
    assert sign_in(anybody, typed).status_code == 201


def test_a_code_signs_in_once(anybody: Caller, alice: Caller, conn: Conn) -> None:
    code = ask(anybody, conn)
    assert [sign_in(anybody, code).status_code for _ in range(2)] == [201, 401]
    assert sign_in(anybody, ask(anybody, conn)).status_code == 201


def test_a_code_that_is_used_by_many_at_once_signs_in_once(
    app: Flask, anybody: Caller, alice: Caller, conn: Conn
) -> None:
    code = ask(anybody, conn)
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda _: sign_in(Caller(app.test_client()), code), range(4))
        statuses = sorted(a.status_code for a in answers)
    assert statuses == [201, 401, 401, 401]


@pytest.mark.parametrize(("minutes", "status"), [(9, 201), (11, 401)])
def test_a_code_is_good_for_ten_minutes(
    anybody: Caller, alice: Caller, conn: Conn, minutes: int, status: int
) -> None:
    """By the database's clock, whatever that of the process says."""
    code = ask(anybody, conn)
    passed = "update mailed_codes set created_at = created_at - make_interval(mins => %s)"
    conn.execute(passed, [minutes])
    assert sign_in(anybody, code).status_code == status


@pytest.mark.parametrize(("wrong_ones", "status"), [(4, 201), (5, 401)])
def test_a_code_may_be_tried_five_times(
    anybody: Caller, alice: Caller, conn: Conn, wrong_ones: int, status: int
) -> None:
    code = ask(anybody, conn)
    for _ in range(wrong_ones):
        assert sign_in(anybody, wrong(code)).status_code == 401
    assert sign_in(anybody, code).status_code == status


def test_tries_at_the_same_time_are_counted_each(
    app: Flask, anybody: Caller, alice: Caller, conn: Conn
) -> None:
    code = ask(anybody, conn)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: sign_in(Caller(app.test_client()), wrong(code)), range(8)))
    assert sign_in(anybody, code).status_code == 401
    assert one(conn.execute("select tries from mailed_codes"))["tries"] == 5


def test_a_code_is_good_only_where_it_was_asked_for(
    anybody: Caller, alice: Caller, conn: Conn
) -> None:
    """Who reads it over a shoulder has no secret, and the secret of another request is none."""
    code, other = ask(anybody, conn), ask(anybody, conn)
    for secret in (None, "", "x" * 43, other["request"]):
        body = {"code": code["code"]} | ({} if secret is None else {"request": secret})
        assert sign_in(anybody, body).status_code in (401, 422)
    assert sign_in(anybody, code).status_code == 201


def test_what_a_stranger_tries_changes_nothing_for_the_owner(
    anybody: Caller, alice: Caller, conn: Conn
) -> None:
    """No session ends, no code of the owner's is used up, and the owner signs in as before."""
    own = ask(anybody, conn)
    before = sign_in(anybody, ask(anybody, conn)).json
    stranger = ask(anybody, conn)
    for _ in range(7):
        assert sign_in(anybody, wrong(stranger)).status_code == 401
    assert Caller(anybody.client, before["token"]).get("/v1/me").status_code == 200
    refreshed = anybody.post("/v1/tokens/refresh", {"refresh_token": before["refresh_token"]})
    assert refreshed.status_code == 201
    assert sign_in(anybody, own).status_code == 201


def test_a_mailbox_gets_six_codes_an_hour(anybody: Caller, alice: Caller, conn: Conn) -> None:
    """However it is written, however many ask at once, and no one is told."""
    count = "select count(*) as n from emails"
    for _ in range(8):
        assert anybody.post("/v1/tokens", {"email": ALICE}).status_code == 202
    assert one(conn.execute(count))["n"] == 6
    conn.execute("update mailed_codes set created_at = created_at - interval '61 min'")
    assert sign_in(anybody, ask(anybody, conn)).status_code == 201


def test_as_much_is_done_for_an_address_without_an_account(
    anybody: Caller, alice: Caller, conn: Conn
) -> None:
    """So the time of the answer does not tell which addresses are known: both write, and commit."""
    noted = "select account_id, count(*)::int as n from mailed_codes group by account_id"
    for email in (ALICE, "nobody@example.org"):
        for _ in range(7):
            assert anybody.post("/v1/tokens", {"email": email}).status_code == 202
    counts = {row["account_id"]: row["n"] for row in conn.execute(noted)}
    assert counts == {alice.id: 6, None: 6}
    assert one(conn.execute("select count(*) as n from emails"))["n"] == 6


def test_what_is_noted_of_an_unknown_address_opens_nothing(
    anybody: Caller, alice: Caller, conn: Conn
) -> None:
    """Nor does it take one of the six of a mailbox that is written otherwise."""
    made = make_code()
    with transaction() as own:
        for spelling in ("a.lice@example.org", "alice+1@example.org"):
            codes.pretend_code(own, spelling, "sign_in", make_code())
        codes.pretend_code(own, "nobody@example.org", "sign_in", made)
    assert sign_in(anybody, {"code": made.code, "request": made.request}).status_code == 401
    for _ in range(6):
        assert anybody.post("/v1/tokens", {"email": ALICE}).status_code == 202
    assert one(conn.execute("select count(*) as n from emails"))["n"] == 6


def test_requests_at_the_same_time_share_the_six(conn: Conn, alice: Caller) -> None:
    def ask_once(_: int) -> bool:
        with transaction() as own:
            return codes.mail_code(own, alice.id, "sign_in", make_code())

    with ThreadPoolExecutor(6) as threads:
        sent = list(threads.map(ask_once, range(12)))
    assert sum(sent) == 6


@pytest.mark.parametrize(
    "change", ["closed_at = now()", "blocked_at = now(), blocked_reason = 'x'"]
)
def test_a_closed_or_blocked_account_is_not_opened_by_a_code(
    anybody: Caller, alice: Caller, conn: Conn, change: str
) -> None:
    code = ask(anybody, conn)
    conn.execute(f"update accounts set {change}")
    assert sign_in(anybody, code).status_code == 401
    asked = anybody.post("/v1/tokens", {"email": ALICE})
    assert (asked.status_code, asked.json["sent"]) == (202, True)
    assert len(conn.execute("select from emails").fetchall()) == 1


def test_the_database_does_not_tell_a_code(anybody: Caller, alice: Caller, conn: Conn) -> None:
    """Its hash is over the secret, too, so that a million guesses find nothing."""
    code = ask(anybody, conn)
    row = one(conn.execute("select request_sha256, code_sha256 from mailed_codes"))
    assert row["code_sha256"] != codes._hash(code["code"])
    assert row["code_sha256"] == codes._hash(code["request"] + code["code"])


def at(number: int) -> dict[str, dict[str, str]]:
    """From another address, as the client of a test sends it."""
    return {"environ_base": {"REMOTE_ADDR": f"192.0.2.{number}"}}


def asked_at(anybody: Caller, number: int, email: str = ALICE) -> Answer:
    return anybody.post("/v1/tokens", {"email": email}, **at(number))


@pytest.mark.faults("guessing")
def test_an_address_gets_three_codes_of_a_mailbox_an_hour_and_leaves_the_others(
    limited: Callable[..., Caller], alice: Caller, conn: Conn
) -> None:
    """In all spellings; other mailboxes and other addresses are not concerned."""
    anybody = limited()
    spelt = (ALICE, ALICE.upper(), f" {ALICE} ", ALICE)
    assert [asked_at(anybody, 1, email).status_code for email in spelt] == [202, 202, 202, 429]
    refused = asked_at(anybody, 1)
    assert "your address" in refused.json["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert asked_at(anybody, 1, "bob@example.org").status_code == 202
    asked = asked_at(anybody, 2)
    code = {"code": latest_code(conn), "request": asked.json["request"]}
    assert anybody.post("/v1/tokens", code, **at(2)).status_code == 201
    mailed = "select count(*) as n from mailed_codes where account_id is not null"
    assert one(conn.execute(mailed))["n"] == 4


@pytest.mark.faults("guessing")
def test_wrong_codes_of_an_address_are_counted_of_whichever_mailboxes(
    limited: Callable[..., Caller], alice: Caller, conn: Conn
) -> None:
    """Right ones are not counted; from another address the owner's is tried."""
    anybody = limited(LIMITS="code.wrong_at_address=4 per hour")
    asked = asked_at(anybody, 1)
    right = {"code": latest_code(conn), "request": asked.json["request"]}
    statuses = [
        anybody.post("/v1/tokens", wrong(right) | {"request": f"{n}" * 43}, **at(1)).status_code
        for n in range(5)
    ]
    assert statuses == [401, 401, 401, 401, 429]
    refused = anybody.post("/v1/tokens", right, **at(1))
    assert (refused.status_code, "your address" in refused.json["detail"]) == (429, True)
    assert one(conn.execute("select max(tries) as n from mailed_codes"))["n"] == 0
    page = {"Origin": "http://127.0.0.1:8000"}
    pressed = anybody.post("/sign-in", data={"code": right["code"]}, headers=page, **at(1))
    assert pressed.status_code == 429
    assert anybody.post("/v1/tokens", right, **at(2)).status_code == 201


class Browser:
    """A browser that asked for a code: the cookies that it has."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.cookies: dict[str, str] = {}

    def send(self, method: str, path: str, **more: Any) -> Answer:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**OWN, "Cookie": header}
        client = self.client.application.test_client(use_cookies=False)
        answer = client.open(path, method=method, headers=sent, **more)
        for cookie in answer.headers.getlist("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


@pytest.fixture
def browser(app: Flask, alice: Caller) -> Browser:
    made = Browser(app)
    asked = made.send("POST", "/v1/tokens", json={"email": ALICE, "carrier": "cookie"})
    assert asked.status_code == 202
    cookie = asked.headers["Set-Cookie"]
    assert cookie.startswith(f"{REQUEST_NAME}={asked.json['request']};")
    assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"))
    return made


def test_a_browser_sends_the_code_alone(browser: Browser, conn: Conn, alice: Caller) -> None:
    body = {"code": latest_code(conn), "carrier": "cookie"}
    assert browser.send("POST", "/v1/tokens", json=body).status_code == 201
    assert browser.send("GET", "/v1/me").json["id"] == alice.id


def test_the_link_signs_in_by_its_button(browser: Browser, conn: Conn, alice: Caller) -> None:
    """Opening it changes nothing: programs that look through mails open links."""
    path = f"/sign-in?code={latest_code(conn)}"
    for _ in range(7):
        page = browser.send("GET", path)
        assert page.status_code == 200
    assert one(conn.execute("select tries from mailed_codes"))["tries"] == 0
    assert latest_code(conn) in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    # With no-referrer a browser would send `Origin: null` with the form.
    assert page.headers["Referrer-Policy"] == "same-origin"
    done = browser.send("POST", "/sign-in", data={"code": latest_code(conn)})
    assert (done.status_code, "signed in" in done.text) == (200, True)
    assert browser.cookies[REQUEST_NAME] == ""
    assert browser.send("GET", "/v1/me").json["id"] == alice.id
    row = one(
        conn.execute("select authenticated_by, carrier from sessions order by id desc limit 1")
    )
    assert (row["authenticated_by"], row["carrier"]) == ("link", "cookie")


def test_the_link_shows_the_code_in_another_browser_and_does_nothing_there(
    app: Flask, browser: Browser, conn: Conn
) -> None:
    other, code = Browser(app), latest_code(conn)
    assert code in other.send("GET", f"/sign-in?code={code}").text
    assert other.send("POST", "/sign-in", data={"code": code}).status_code == 401
    assert one(conn.execute("select tries from mailed_codes"))["tries"] == 0
    assert NAME not in other.cookies


def test_another_site_cannot_press_the_button(browser: Browser, conn: Conn) -> None:
    browser.cookies["Origin"] = ""
    client = browser.client.application.test_client(use_cookies=False)
    headers = {
        "Cookie": f"{REQUEST_NAME}={browser.cookies[REQUEST_NAME]}",
        "Origin": "https://evil.example",
    }
    answer = client.post("/sign-in", data={"code": latest_code(conn)}, headers=headers)
    assert answer.status_code == 403
    assert one(conn.execute("select tries from mailed_codes"))["tries"] == 0


@pytest.mark.parametrize(
    "code", ["", "<script>", "12345", "1234567", "\uff11\uff12\uff13\uff14\uff15\uff16"]
)
def test_the_page_shows_no_words_of_its_link(browser: Browser, code: str) -> None:
    page = browser.send("GET", "/sign-in", query_string={"code": code})
    assert (page.status_code, "autocomplete" in page.text) == (200, True)
    assert not code or code not in page.text
    assert browser.send("POST", "/sign-in", data={"code": code}).status_code == 401
