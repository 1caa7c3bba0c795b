"""Sessions: tokens that are refreshed, and sessions that are listed, named and ended."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from db.connections import Conn, one
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, Sale, sign_up
from web.app import create_app
from web.support.ended_tokens import EndedTokens
from web.support.sessions import Session, describe_agent
from web.support.signing import sign

DORA = {"email": "dora@example.org", "name": "Dora", "password": "correct horse"}
SESSIONS = "/v1/me/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"


@pytest.fixture
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads for each request what was ended."""
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


@pytest.fixture
def dora(anybody: Caller) -> Answer:
    """Dora's first sign-in: its answer."""
    return anybody.post("/v1/accounts", DORA)


def sign_in(client: FlaskClient) -> Answer:
    asked = {"email": DORA["email"], "password": DORA["password"]}
    return Caller(client).post("/v1/tokens", asked)


def refresh(anybody: Caller, token: str) -> Answer:
    return anybody.post("/v1/tokens/refresh", {"refresh_token": token})


def has_ended(conn: Conn, session_id: int) -> bool:
    query = "select ended_at is not null as ended from sessions where id = %s"
    return bool(one(conn.execute(query, [session_id]))["ended"])


def let_pass(conn: Conn, seconds: int) -> None:
    conn.execute("update sessions set used_at = used_at - make_interval(secs => %s)", [seconds])


def test_a_token_is_good_for_an_hour_and_a_refresh_token_gives_the_next(
    anybody: Caller, dora: Answer
) -> None:
    lives = datetime.fromisoformat(dora.json["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < lives <= timedelta(hours=1)
    fresh = refresh(anybody, dora.json["refresh_token"])
    assert fresh.status_code == 201
    assert fresh.json["session_id"] == dora.json["session_id"]
    assert fresh.json["refresh_token"] != dora.json["refresh_token"]
    me = Caller(anybody.client, fresh.json["token"]).get("/v1/me")
    assert me.json["id"] == dora.json["id"]


def test_a_refresh_token_that_is_used_twice_at_once_gives_the_same_answer(
    anybody: Caller, dora: Answer, conn: Conn
) -> None:
    first = refresh(anybody, dora.json["refresh_token"]).json
    let_pass(conn, 25)
    again = refresh(anybody, dora.json["refresh_token"]).json
    assert again["refresh_token"] == first["refresh_token"]
    assert refresh(anybody, first["refresh_token"]).status_code == 201


def test_threads_that_race_get_one_answer(app: Flask, dora: Answer, conn: Conn) -> None:
    def ask(_: int) -> str:
        return str(refresh(Caller(app.test_client()), dora.json["refresh_token"]).json)

    for _ in range(5):
        with ThreadPoolExecutor(4) as threads:
            answers = set(threads.map(ask, range(4)))
        assert len(answers) == 1, answers
        query = "select refreshes from sessions where id = %s"
        assert one(conn.execute(query, [dora.json["session_id"]]))["refreshes"] == 1


def test_a_refresh_token_that_comes_back_later_ends_its_session(
    anybody: Caller, dora: Answer, conn: Conn
) -> None:
    """It was copied; whose copy it is, no one knows."""
    fresh = refresh(anybody, dora.json["refresh_token"]).json
    let_pass(conn, 31)
    assert refresh(anybody, dora.json["refresh_token"]).status_code == 401
    assert has_ended(conn, dora.json["session_id"])
    assert refresh(anybody, fresh["refresh_token"]).status_code == 401


def test_one_that_is_older_still_ends_its_session_at_once(
    anybody: Caller, dora: Answer, conn: Conn
) -> None:
    fresh = refresh(anybody, dora.json["refresh_token"]).json
    assert refresh(anybody, fresh["refresh_token"]).status_code == 201
    assert refresh(anybody, dora.json["refresh_token"]).status_code == 401
    assert has_ended(conn, dora.json["session_id"])


def test_a_session_that_is_not_used_for_a_month_is_over(
    anybody: Caller, dora: Answer, conn: Conn
) -> None:
    conn.execute("update sessions set expires_at = clock_timestamp()")
    assert refresh(anybody, dora.json["refresh_token"]).status_code == 401


@pytest.mark.parametrize(
    "change", ["closed_at = now()", "blocked_at = now(), blocked_reason = 'x'"]
)
def test_a_closed_or_blocked_account_gets_no_tokens(
    anybody: Caller, dora: Answer, conn: Conn, change: str
) -> None:
    conn.execute(f"update accounts set {change}")
    assert refresh(anybody, dora.json["refresh_token"]).status_code == 401
    assert sign_in(anybody.client).status_code == 401


def test_a_refresh_token_is_no_token_and_a_token_none_of_it(anybody: Caller, dora: Answer) -> None:
    assert Caller(anybody.client, dora.json["refresh_token"]).get("/v1/me").status_code == 401
    for text in (dora.json["token"], "nonsense", dora.json["refresh_token"][:-3] + "AAA"):
        assert refresh(anybody, text).status_code == 401


def test_sessions_are_listed_and_named(anybody: Caller, dora: Answer) -> None:
    anybody.client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    token = sign_in(anybody.client).json
    me = Caller(anybody.client, token["token"])
    latest, first = me.get(SESSIONS).json
    assert (latest["id"], latest["name"], latest["is_current"]) == (
        token["session_id"],
        "Firefox on Linux",
        True,
    )
    assert latest["authenticated_by"] == "password"
    assert (first["authenticated_by"], first["carrier"]) == ("sign_up", "bearer")
    named = me.patch(f"{SESSIONS}/{first['id']}", {"name": "Office"})
    assert (named.status_code, named.json) == (200, first | {"name": "Office"})
    (page,) = me.get(f"{SESSIONS}?limit=1&starting_after={latest['id']}").json
    assert page == named.json


@pytest.mark.usefixtures("impatient")
def test_one_session_is_ended_and_the_others_stay(
    anybody: Caller, dora: Answer, conn: Conn
) -> None:
    other = sign_in(anybody.client).json
    lost, me = (Caller(anybody.client, t) for t in (dora.json["token"], other["token"]))
    assert me.delete(f"{SESSIONS}/{dora.json['session_id']}").status_code == 204
    assert (lost.get("/v1/me").status_code, me.get("/v1/me").status_code) == (401, 200)
    assert refresh(anybody, dora.json["refresh_token"]).status_code == 401
    assert [row["id"] for row in me.get(SESSIONS).json] == [other["session_id"]]
    assert me.delete(f"{SESSIONS}/{dora.json['session_id']}").status_code == 204, "it has ended"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("query", "left"), [("", 0), ("?keep_this=true", 1)])
def test_all_sessions_are_ended(anybody: Caller, dora: Answer, query: str, left: int) -> None:
    """Tokens of versions without sessions, too."""
    others = [Caller(anybody.client, sign_in(anybody.client).json["token"]) for _ in range(2)]
    me = Caller(anybody.client, dora.json["token"])
    soon = datetime.now(UTC) + timedelta(days=20)
    earlier = sign({"sub": str(dora.json["id"]), "n": 0, "exp": soon}, "buyer")
    others.append(Caller(anybody.client, earlier))
    assert others[-1].get("/v1/me").status_code == 200
    assert me.delete(SESSIONS + query).status_code == 204
    assert [c.get("/v1/me").status_code for c in others] == [401, 401, 401]
    assert me.get("/v1/me").status_code == (200 if left else 401)
    assert sign_in(anybody.client).status_code == 201


@pytest.mark.usefixtures("impatient")
def test_another_persons_sessions_are_not_touched(
    anybody: Caller, alice: Caller, dora: Answer
) -> None:
    path = f"{SESSIONS}/{dora.json['session_id']}"
    assert alice.patch(path, {"name": "mine"}).status_code == 404
    assert alice.delete(path).status_code == 404
    assert alice.delete(SESSIONS).status_code == 204
    assert Caller(anybody.client, dora.json["token"]).get("/v1/me").status_code == 200


def test_an_ended_session_is_known_within_seconds_and_by_new_processes(
    app: Flask, alice: Caller, conn: Conn
) -> None:
    assert alice.get("/v1/me").status_code == 200  # the process has read the list
    assert alice.delete(f"{SESSIONS}/{alice.get(SESSIONS).json[0]['id']}").status_code == 204
    assert app.extensions["ended_tokens"]._seconds <= 10
    app.extensions["ended_tokens"]._kept[0].made_at -= 10
    assert alice.get("/v1/me").status_code == 401
    assert Caller(create_app().test_client(), alice.token).get("/v1/me").status_code == 401


@pytest.mark.usefixtures("impatient")
def test_the_fast_path_knows_ended_sessions(tosca: Sale, alice: Caller) -> None:
    entry = tosca.join(alice).json["links"]["self"]
    assert alice.get(entry).status_code == 200
    alice.delete(SESSIONS)
    assert alice.get(entry).status_code == 401


def test_a_sign_in_that_was_under_way_when_all_were_ended_is_refused(
    app: Flask, dora: Answer, conn: Conn, database_url: str
) -> None:
    """It proved what was true before; its refresh token would live on."""
    waiting = """select from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()"""
    with psycopg.connect(database_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("select end_sessions(%s)", [dora.json["id"]])
        answer = thread.submit(lambda: sign_in(app.test_client()))
        wait_until(lambda: conn.execute(waiting).fetchall() != [])
        other.commit()
        assert answer.result(timeout=10).status_code == 401


def test_what_ended_long_ago_is_forgotten() -> None:
    now = datetime.now(UTC)
    first = EndedTokens().after([], [{"id": 1, "ended_at": now}, {"id": 2, "ended_at": now}])
    assert first.has_ended(Session(7, id=1))
    assert not first.has_ended(Session(7, id=3))
    assert not first.has_ended(Session(7)), "a token from before there were sessions"
    second = first.after([], [{"id": 3, "ended_at": now + timedelta(minutes=71)}])
    assert set(second.sessions) == {3}
    assert second.sessions_since is not None
    assert second.sessions_since < now + timedelta(minutes=71), "a late commit would be missed"
    assert second.after([], [{"id": 3, "ended_at": now}]) is second


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, "
            "like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0",
            "Edge on Windows",
        ),
        ("curl/8.14.1", "curl"),
        ("", "Unknown program"),
        ("\x00\u202e<script>", "Unknown program"),
    ],
)
def test_a_session_is_called_what_its_program_says_of_itself(agent: str, name: str) -> None:
    assert describe_agent(agent) == name


def test_two_people_have_each_their_own(app: Flask) -> None:
    ada, bea = (sign_up(app.test_client(), name) for name in ("ada", "bea"))
    assert len(ada.get(SESSIONS).json) == len(bea.get(SESSIONS).json) == 1
