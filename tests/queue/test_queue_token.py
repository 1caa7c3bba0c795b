"""The queue's public board and the signed ticket: everybody's place without the database."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from db.catalogue import availability
from db.catalogue.availability import QueueReading
from db.connections import Conn, one, pool
from tests.support.databases import Servers
from tests.support.theatre import another, build_theatre
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, Sale
from web.queue.board import Board, next_board
from web.queue.tokens import QueueToken, sign_queue_token
from web.support.signing import key_for

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)


def a_board(served: int = 0, last: int = 0, **changes: Any) -> Board:
    queue: Any = {
        "event_id": 1,
        "now_serving": served,
        "last_number": last,
        "counted": 1001,
        "standby": 0,
        "turn_seconds": 600,
        "leavers": [],
        "sale": "open",
        "accessible_free": False,
        "as_of": MOMENT,
    }
    return next_board(None, queue | changes)


def leave(conn: Conn, event: int, numbers: list[int], state: str = "left") -> None:
    conn.execute(
        "update entries set state = %s, decided_at = now()"
        " where event_id = %s and number = any (%s)",
        [state, event, numbers],
    )


def read(conn: Conn, event: int) -> Board:
    return next_board(None, availability.get_queue(conn, event))


# ---- The ticket and the position ----------------------------------------------------------------


def position(sale: Sale, client: Caller, ticket: str) -> Answer:
    headers = {"Authorization": f"Bearer {ticket}"}
    return client.get(f"{sale.path}/queue/position", headers=headers)


def test_a_ticket_tells_its_place(tosca: Sale, alice: Caller, bob: Caller, anybody: Caller) -> None:
    tosca.join(alice)
    ticket = tosca.join(bob).json["ticket"]
    answer = position(tosca, anybody, ticket)
    assert answer.status_code == 200, answer.text
    place = answer.json
    assert (place["number"], place["ahead"], place["now_serving"]) == (2, 1, 0)
    assert (place["state_hint"], place["sale"]) == ("waiting", "open")
    assert 1 <= place["poll_after_s"] <= 30
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert anybody.get(f"{tosca.path}/queue/position?ticket={ticket}").json["number"] == 2


def test_an_entry_carries_a_ticket_too(tosca: Sale, alice: Caller, anybody: Caller) -> None:
    entry = alice.get(tosca.join(alice).json["links"]["self"]).json
    assert position(tosca, anybody, entry["ticket"]).json["number"] == 1


@pytest.mark.slow
def test_whose_turn_has_come_is_told_to_look(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn
) -> None:
    ticket = tosca.join(alice).json["ticket"]
    tosca.drain(conn)
    wait_until(lambda: position(tosca, anybody, ticket).json["state_hint"] == "look")
    assert position(tosca, anybody, ticket).json["ahead"] == 0


def test_positions_need_no_database(tosca: Sale, alice: Caller, anybody: Caller) -> None:
    ticket = tosca.join(alice).json["ticket"]
    first = position(tosca, anybody, ticket).json
    pool().close()
    assert position(tosca, anybody, ticket).json["as_of"] == first["as_of"]


@pytest.mark.slow
def test_a_board_outlives_an_outage_for_a_while(
    tosca: Sale, anybody: Caller, database_url: str, servers: Servers
) -> None:
    first = anybody.get(f"{tosca.path}/queue").json
    wait_until(lambda: anybody.get(f"{tosca.path}/queue").json["as_of"] > first["as_of"])
    kept = anybody.get(f"{tosca.path}/queue").json
    servers.drop(database_url.rpartition("/")[2])
    wait_until(lambda: anybody.get("/readyz").status_code == 503)
    assert anybody.get(f"{tosca.path}/queue").json["as_of"] >= kept["as_of"]


def test_a_repeated_join_gets_the_same_ticket(tosca: Sale, alice: Caller) -> None:
    first, again = (tosca.join(alice, key="once").json for _ in range(2))
    assert first["ticket"] == again["ticket"]


def forged(claims: dict[str, Any], key: str) -> str:
    return jwt.encode(claims, key_for("queue", key), algorithm="HS256")


@pytest.mark.parametrize("wrong", ["key", "expired", "audience", "event", "entry", "nothing"])
def test_a_wrong_ticket_is_refused(
    tosca: Sale, anybody: Caller, configured: dict[str, str], wrong: str
) -> None:
    claims = {
        "aud": "buyer" if wrong == "audience" else "queue",
        "exp": datetime.now(UTC) + timedelta(hours=-1 if wrong == "expired" else 1),
        "sub": "1",
        "event": tosca.id + (wrong == "event"),
        "entry": "17" if wrong == "entry" else str(uuid4()),
        "number": 1,
    }
    key = "another key that is long enough, too" if wrong == "key" else configured["SECRET_KEY"]
    ticket = "" if wrong == "nothing" else forged(claims, key)
    answer = position(tosca, anybody, ticket)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")


def test_a_ticket_buys_nothing(tosca: Sale, alice: Caller, app: Flask) -> None:
    joined = tosca.join(alice).json
    thief = Caller(app.test_client(), joined["ticket"])
    assert thief.get(joined["links"]["self"]).status_code == 401
    assert thief.delete(joined["links"]["self"]).status_code == 401


def test_a_ticket_lives_a_day(configured: dict[str, str]) -> None:
    ticket = sign_queue_token(QueueToken(1, uuid4(), 7, 3), since=MOMENT)
    claims = jwt.decode(ticket, options={"verify_signature": False})
    assert claims["exp"] == (MOMENT + timedelta(hours=24)).timestamp()
    assert len(ticket) < 300


# ---- The board ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_unchanged_queue_is_not_sent_again(tosca: Sale, alice: Caller, anybody: Caller) -> None:
    def look(**headers: str) -> Answer:
        return anybody.get(f"{tosca.path}/queue", headers=headers)

    wait_until(lambda: look().json["rate_per_minute"] == 0)  # of two readings
    before = look()
    tag = {"If-None-Match": before.headers["ETag"]}
    wait_until(lambda: look().json["as_of"] > before.json["as_of"])
    again = look(**tag)
    assert (again.status_code, again.data) == (304, b"")
    tosca.join(alice)
    wait_until(lambda: look(**tag).status_code == 200)


def test_the_board_says_how_the_sale_stands(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})

    def sale() -> str:
        return read(conn, theatre.event).sale

    assert sale() == "open"
    theatre.set_lane(paused=True)
    assert sale() == "paused"
    booking = theatre.book()
    assert sale() == "all_held"
    theatre.confirm(booking)
    assert sale() == "sold_out"
    theatre.set_event(state="closed")
    assert sale() == "over"
    theatre.set_event(state="on_sale", on_sale_at=datetime.now(UTC) + timedelta(hours=1))
    assert sale() == "soon"


def test_leavers_are_not_ahead(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: ["."]})
    theatre.enter_many(5000)
    leave(conn, theatre.event, list(range(100, 200)))
    leave(conn, theatre.event, list(range(2000, 2500)), "lapsed")
    board = read(conn, theatre.event)
    assert board.ahead(5001) == board.waiting == 4400
    assert board.ahead(99) == 98
    assert 949 - 50 <= board.ahead(1000) <= 949
    assert board.ahead(50) == 49


def test_a_lobby_is_called_when_it_is_drawn() -> None:
    """Its numbers are negative until then."""
    assert not a_board(sale="soon").is_called(-7)
    assert a_board(sale="soon").poll_after_number(-7) >= 20
    assert a_board(sale="open").is_called(-7)


@given(
    size=st.integers(1, 3000),
    served=st.integers(0, 3000),
    gone=st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 300)), max_size=8),
)
def test_ahead_is_never_too_low(size: int, served: int, gone: list[tuple[int, int]]) -> None:
    """Against leavers known one by one, in blocks of 32 as the database makes them."""
    served = min(served, size)
    left = {n for first, many in gone for n in range(first, first + many) if n <= size}
    blocks: dict[int, int] = {}
    for number in left:
        blocks[(number - 1) // 32] = blocks.get((number - 1) // 32, 0) + 1
    leavers = [[b * 32 + 1, b * 32 + 32, n] for b, n in blocks.items() if b >= served // 32]
    board = a_board(served, size, leavers=leavers)
    for number in {served + 1, served + 40, size} - left:
        if served < number <= size:
            truth = sum(n not in left for n in range(served + 1, number))
            assert truth <= board.ahead(number) <= min(truth + 62, number - served - 1)


def test_a_million_deep_it_is_as_small_and_as_cheap(conn: Conn) -> None:
    """Every thirtieth of a million has left, and still the document has few blocks."""
    theatre = build_theatre(conn, {1: ["."]})
    conn.execute("select setval(%s, 1000000)", [f"entry_numbers_{theatre.event}"])
    conn.execute(
        "insert into queue_leavers (event_id, level, block, leavers)"
        " select %s, level, n / (32 * 8 ^ level)::bigint, count(*)"
        " from generate_series(0, 999999, 30) n, generate_series(0, 4) level group by 2, 3",
        [theatre.event],
    )
    conn.execute("analyze queue_leavers")
    conn.execute("update lane_state set now_serving = 12345")
    board = read(conn, theatre.event)
    assert 10 < len(board.queue["leavers"]) <= 80
    assert len(board.document) < 4096
    truth = sum(n % 30 != 0 for n in range(12_345, 1_000_000))
    assert truth <= board.ahead(1_000_001) <= truth * 1.01
    plan = one(
        conn.execute(
            "explain (analyze, buffers, format json) select list_leavers(%s, 12345, 1000000)",
            [theatre.event],
        )
    )
    assert plan["QUERY PLAN"][0]["Plan"]["Shared Hit Blocks"] < 300


def test_leaving_costs_the_same_however_many_have_left(conn: Conn) -> None:
    """The rows of queue_leavers are found by their key, never by reading all of them."""
    theatre = build_theatre(conn, {1: ["."]})
    theatre.enter()
    conn.execute(
        "insert into queue_leavers (event_id, level, block, leavers)"
        " select %s, 0, n, 1 from generate_series(1, 30000) n",
        [theatre.event],
    )
    conn.execute("analyze queue_leavers")
    with conn.transaction():
        leave(conn, theatre.event, [1])
        query = (
            "select seq_tup_read, idx_tup_fetch from pg_stat_xact_user_tables"
            " where relname = 'queue_leavers'"
        )
        reads = one(conn.execute(query))
    assert reads["seq_tup_read"] == 0
    assert reads["idx_tup_fetch"] < 20


def test_leaving_never_waits_for_who_counts(conn: Conn) -> None:
    """One transaction has counted leavers, and goes on to another entry; a buyer leaves."""
    theatre = build_theatre(conn, {1: ["."]})
    for _ in range(4):
        theatre.enter()
    leave(conn, theatre.event, [4])
    with another(conn) as drain, another(conn) as buyer:
        leave(drain, theatre.event, [1], "lapsed")
        buyer.execute("set lock_timeout = '2s'")
        leave(buyer, theatre.event, [2])
        buyer.commit()
        leave(drain, theatre.event, [3], "unavailable")
    query = "select sum(leavers) as n from queue_leavers where level = 0"
    assert one(conn.execute(query))["n"] == 4


def test_who_is_served_is_no_leaver(conn: Conn) -> None:
    theatre = build_theatre(conn, {1: [".."]})
    theatre.book()
    assert conn.execute("select from queue_leavers").fetchall() == []


# ---- When to ask again --------------------------------------------------------------------------


def moving(per_second: int, **changes: Any) -> Board:
    first = a_board(0, 10**6, **changes)
    after: QueueReading = first.queue | {
        "now_serving": per_second * 10,
        "as_of": MOMENT + timedelta(seconds=10),
    }
    return next_board(first, after)


def test_polls_are_rarer_further_back_and_jittered() -> None:
    board = moving(100)
    near = [board.poll_after(100) for _ in range(200)]
    far = [board.poll_after(100_000) for _ in range(200)]
    assert 1 <= min(near) <= max(near) <= 1.6
    assert 20 <= min(far) <= max(far) <= 30
    middle = [board.poll_after(2000) for _ in range(500)]
    assert 8 <= min(middle) < 9 and 11 < max(middle) <= 12


@pytest.mark.faults("First minutes")
@pytest.mark.parametrize("turn_seconds", [5, 15, 20, 86_400])
def test_no_buyer_is_told_to_look_after_the_time_to_pay_is_over(turn_seconds: int) -> None:
    crowd = {"standby": 5000, "turn_seconds": turn_seconds}
    slow, over = moving(1, **crowd), a_board(0, 10**6, sale="over", **crowd)
    asked = [
        pause
        for _ in range(200)
        for pause in (
            slow.poll_after(10**6),
            slow.poll_after_standby(),
            slow.poll_after_number(-7),
            over.poll_after_number(999_999),
            json.loads(slow.document)["poll_after_s"],
        )
    ]
    assert max(asked) <= min(turn_seconds / 2, 30)
    assert min(asked) >= 1


@pytest.mark.faults("First minutes")
def test_the_time_to_pay_and_to_take_a_pass_bound_the_polls(conn: Conn) -> None:
    sale = build_theatre(conn, {1: ["."]})
    for hold, claim, latest_poll in ((40, 50, 20), (40, 12, 6), (600, 600, 30)):
        conn.execute("update events set hold_seconds = %s, claim_seconds = %s", [hold, claim])
        assert read(conn, sale.event).latest_poll == latest_poll


def test_a_crowd_on_standby_looks_less_often_than_a_few() -> None:
    assert a_board(standby=10).poll_after_standby() <= 1.6
    assert 20 <= a_board(standby=5000).poll_after_standby() <= 30


def test_the_wait_is_estimated_by_numbers_served() -> None:
    board = moving(100)
    assert board.estimated_wait(11_000) == 100
    assert board.estimated_wait(1000) == 0
    assert a_board(0, 100).estimated_wait(50) is None


def test_the_end_calls_a_crowd_slowly() -> None:
    board = moving(100, sale="sold_out")
    assert board.is_called(999_999)
    delays = sorted(board.poll_after_number(999_999) for _ in range(1000))
    assert delays[0] < 3 and delays[-1] > 28
