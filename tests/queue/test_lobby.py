"""The lobby: a lot that anybody can check, and nobody who is left in it."""

import hashlib
import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from db.connections import Conn, only
from db.maintenance.invariants import violations
from db.queue import lanes
from ops import verify_draw
from tasks import clock
from tasks.lobbies import tend_lobbies, watch_lobbies
from tests.support.theatre import another, is_waited_for
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, Sale, in_hours

SOURCE = "The first six numbers of the lottery of 1 May 2030, published at 19:25"
JOIN = (
    "SELECT * FROM join_queue(%s, %s, gen_random_uuid()::text, '', %s, NULL, true, 0, NULL, true)"
)


@dataclass
class Lobby:
    """An event with a lobby, whose times the test moves."""

    sale: Sale
    conn: Conn

    @property
    def path(self) -> str:
        return f"{self.sale.path}/lobby"

    def announce(self, public_source: str | None = SOURCE, **changes: Any) -> Answer:
        body = {"opens_at": in_hours(1), "closes_at": in_hours(2), "public_source": public_source}
        return self.sale.opera.call("PUT", self.path, body | changes)

    def move(self, opens: float, closes: float, on_sale: float) -> None:
        """Its times, in seconds from now."""
        query = """
            UPDATE events SET lobby_opens_at = clock_timestamp() + make_interval(secs => %s),
                lobby_closes_at = clock_timestamp() + make_interval(secs => %s),
                on_sale_at = clock_timestamp() + make_interval(secs => %s) WHERE id = %s"""
        with self.conn.transaction():
            self.conn.execute(query, [opens, closes, on_sale, self.sale.id])
            self.conn.execute(
                "UPDATE draws SET committed_at = now() - interval '1 d'"
                " WHERE event_id = %s AND closed_at IS NULL",
                [self.sale.id],
            )

    def open(self) -> None:
        self.move(-60, 3600, 7200)

    def close(self) -> None:
        """It closed a while ago; the clock has not ticked since."""
        self.move(-60, -10, 7200)

    def begin_sale(self) -> None:
        self.move(-60, -10, -1)

    def enter(self, buyer: int, quantity: int = 1, conn: Conn | None = None) -> dict[str, Any]:
        """Join as account `buyer`, who need not exist."""
        rows = (conn or self.conn).execute(JOIN, [self.sale.id, buyer, quantity]).fetchall()
        assert only(rows)["outcome"] == "joined"
        return only(rows)

    def leave(self, buyer: int, conn: Conn | None = None) -> None:
        query = """
            UPDATE entries SET state = 'left', decided_at = clock_timestamp()
            WHERE event_id = %s AND buyer_id = %s
                AND state IN ('lobby', 'waiting', 'standby', 'admitted')"""
        (conn or self.conn).execute(query, [self.sale.id, buyer])

    def give(self, value: str = "7 11 13 17 19 23") -> Answer:
        return self.sale.opera.post(f"{self.path}/draw", {"public_value": value})

    def tick(self) -> dict[str, int]:
        return tend_lobbies(self.conn)

    def draw(self, value: str = "7 11 13 17 19 23") -> None:
        """All that happens between its end and the sale."""
        self.close()
        self.tick()
        assert self.give(value).status_code == 202
        self.tick()

    def row(self) -> dict[str, Any]:
        query = "SELECT * FROM draws WHERE event_id = %s"
        return only(self.conn.execute(query, [self.sale.id]).fetchall())

    def numbers(self, *states: str) -> dict[int, int]:
        """By account, of entries in one of the states."""
        query = "SELECT buyer_id, number FROM entries WHERE event_id = %s AND state = ANY (%s)"
        rows = self.conn.execute(query, [self.sale.id, list(states)]).fetchall()
        return {row["buyer_id"]: row["number"] for row in rows}

    def expected(self, accounts: set[int]) -> dict[int, int]:
        """What Python's own hashes give for a list."""
        lobby = self.row()
        seed = hashlib.sha256(lobby["secret"] + (lobby["public_value"] or "").encode()).digest()
        order = sorted(accounts, key=lambda a: hmac.digest(seed, str(a).encode(), "sha256"))
        return {account: number for number, account in enumerate(order, start=1)}


@pytest.fixture
def lobby(hall: Sale, conn: Conn) -> Lobby:
    """Open, with a public value to come."""
    made = Lobby(hall.add_event(on_sale_at=in_hours(3)).open(), conn)
    assert made.announce().status_code == 200
    made.open()
    return made


# Announcing


@pytest.fixture
def announced(hall: Sale, conn: Conn) -> Lobby:
    """An event that goes on sale in three hours, without a lobby yet."""
    return Lobby(hall.add_event(on_sale_at=in_hours(3)).open(), conn)


def test_it_is_committed_to_before_it_opens(announced: Lobby, anybody: Caller) -> None:
    assert anybody.get(announced.path).status_code == 404
    assert announced.announce().status_code == 200
    shown = anybody.get(announced.path).json
    assert shown["commitment"] == hashlib.sha256(announced.row()["secret"]).hexdigest()
    assert (shown["state"], shown["public_source"]) == ("announced", SOURCE)
    assert (shown["provable"], shown["secret"], shown["seed"]) == (True, None, None)


def test_the_secret_is_not_shown_before_the_draw(lobby: Lobby, anybody: Caller) -> None:
    secret = lobby.row()["secret"].hex()
    lobby.enter(1)
    lobby.close()
    lobby.tick()
    lobby.give()
    answers = [anybody.get(lobby.path), anybody.get(f"{lobby.path}/list")]
    assert not any(secret in answer.text for answer in answers)


def test_changing_it_keeps_the_commitment(announced: Lobby) -> None:
    first = announced.announce().json
    second = announced.announce("Something else", closes_at=in_hours(2.5)).json
    assert second["commitment"] == first["commitment"]
    assert second["closes_at"] > first["closes_at"]
    assert second["public_source"] == "Something else"


def test_every_change_is_audited(announced: Lobby) -> None:
    announced.announce()
    announced.open()
    announced.draw()
    query = """SELECT actor, action, detail FROM audit_log
        WHERE event_id = %s AND action <> 'event changed' ORDER BY id"""
    rows = announced.conn.execute(query, [announced.sale.id]).fetchall()
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("organiser:1", "set_lobby"),
        ("organiser:1", "give_public_value"),
    ]
    assert rows[0]["detail"]["public_source"] == SOURCE
    assert rows[1]["detail"] == {"public_value": "7 11 13 17 19 23"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"opens_at": in_hours(-1)}, "opens_at"),
        ({"opens_at": in_hours(2), "closes_at": in_hours(1)}, "closes_at"),
        ({"closes_at": in_hours(4)}, "closes_at"),
    ],
)
def test_times_must_make_sense(announced: Lobby, changes: dict[str, str], path: str) -> None:
    answer = announced.announce(**changes)
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, path)


def test_a_draft_has_no_lobby(hall: Sale, conn: Conn) -> None:
    answer = Lobby(hall.add_event(on_sale_at=in_hours(3)), conn).announce()
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "not_opened")


def test_one_that_has_begun_is_not_changed(lobby: Lobby) -> None:
    answer = lobby.announce()
    assert (answer.status_code, answer.json["conflict_reason"]) == (409, "begun")


def test_another_organiser_has_no_say(announced: Lobby, circus: Caller) -> None:
    body = {"opens_at": in_hours(1), "closes_at": in_hours(2)}
    assert circus.call("PUT", announced.path, body).status_code == 404
    announced.announce()
    assert circus.post(f"{announced.path}/draw", {"public_value": "1"}).status_code == 404


# Joining


def test_joining_depends_on_when(
    announced: Lobby, alice: Caller, bob: Caller, charlie: Caller
) -> None:
    announced.announce()
    early = announced.sale.join(alice)
    assert (early.status_code, early.json["conflict_reason"]) == (409, "sale_not_open")
    announced.open()
    joined = announced.sale.join(alice).json
    assert (joined["state"], joined["number"]) == ("lobby", -1)
    announced.close()
    assert announced.sale.join(bob).json["state"] == "waiting"
    announced.tick()
    announced.give()
    announced.tick()
    assert announced.sale.join(charlie).json["state"] == "waiting"
    assert announced.numbers("waiting") == {alice.id: 1, bob.id: 2, charlie.id: 3}
    shown = alice.get(joined["links"]["self"]).json
    assert (shown["state"], shown["number"]) == ("waiting", 1)


def test_one_place_in_the_lobby_per_person(lobby: Lobby, alice: Caller) -> None:
    lobby.sale.join(alice)
    again = lobby.sale.join(alice)
    assert (again.status_code, again.json["conflict_reason"]) == (409, "already_waiting")


def test_whoever_waits_in_the_lobby_may_look_and_leave(lobby: Lobby, alice: Caller) -> None:
    path = lobby.sale.join(alice).json["links"]["self"]
    shown = alice.get(path).json
    assert (shown["state"], shown["number"], shown["ahead"]) == ("lobby", -1, None)
    assert shown["poll_after_s"] >= 15  # nothing will happen for an hour
    assert alice.delete(path).status_code == 204
    assert alice.get(path).json["state"] == "left"


def test_numbers_of_the_tail_are_above_those_drawn(
    lobby: Lobby, servers: Any, database_url: str
) -> None:
    """Four people at a time join while the lobby closes; whoever was told "lobby" is drawn."""
    lobby.move(-60, 0.3, 7200)
    told: dict[int, str] = {}
    done = threading.Event()

    def join(first: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as own:
            for buyer in range(first, 1_000_000, 4):
                row = own.execute(JOIN, [lobby.sale.id, buyer, 1]).fetchone()
                assert row
                told[buyer] = row[3]
                if done.is_set():
                    return

    with ThreadPoolExecutor(4) as crowd:
        joining = [crowd.submit(join, first) for first in range(1, 5)]
        wait_until(lambda: lobby.tick() and lobby.row()["closed_at"])
        done.set()
        for future in joining:
            future.result()
    lobby.give()
    lobby.tick()
    listed = {buyer for buyer, state in told.items() if state == "lobby"}
    assert len(listed) > 20
    assert len(told) - len(listed) > 20
    assert set(lobby.row()["accounts"]) == listed
    numbers = lobby.numbers("waiting")
    assert {a: n for a, n in numbers.items() if a in listed} == lobby.expected(listed)
    assert min(numbers[buyer] for buyer in told.keys() - listed) > len(listed)
    assert violations(lobby.conn) == []


def test_a_number_for_the_lobby_that_comes_too_late_is_not_used(lobby: Lobby) -> None:
    """It may be above numbers of the tail: after a look that finds it closed, another is taken."""
    lobby.move(-60, 0.5, 7200)
    with another(lobby.conn) as holder, another(lobby.conn) as joiner, ThreadPoolExecutor() as t:
        sequence = f"ALTER SEQUENCE entry_numbers_{lobby.sale.id} CACHE 1"
        holder.execute(sequence)
        joining = t.submit(lobby.enter, 1, 1, joiner)
        wait_until(lambda: is_waited_for(holder))
        over = "SELECT FROM events WHERE lobby_closes_at < clock_timestamp()"
        wait_until(lambda: lobby.conn.execute(over).fetchone() is not None)
        holder.commit()
        joined = joining.result()
    assert (joined["state"], joined["number"]) == ("waiting", 2)


def test_a_clock_that_was_set_back_does_not_stop_the_draw(lobby: Lobby) -> None:
    """Then somebody of the tail may have a low number; they stay in the tail, in their order."""
    lobby.close()
    tail = [lobby.enter(buyer)["number"] for buyer in (91, 92)]
    assert tail == [1, 2]
    lobby.open()
    for buyer in (1, 2, 3):
        lobby.enter(buyer)
    lobby.draw()
    numbers = lobby.numbers("waiting")
    assert {a: n for a, n in numbers.items() if a < 90} == lobby.expected({1, 2, 3})
    assert 3 < numbers[91] < numbers[92]


# The list


def test_the_list_is_published_when_it_has_closed(lobby: Lobby, anybody: Caller) -> None:
    for buyer in (30, 4, 200):
        lobby.enter(buyer)
    early = anybody.get(f"{lobby.path}/list")
    assert (early.status_code, early.json["conflict_reason"]) == (409, "not_closed")
    lobby.close()
    lobby.tick()
    answer = anybody.get(f"{lobby.path}/list")
    assert answer.text == "4\n30\n200\n"
    shown = anybody.get(lobby.path).json
    assert shown["list_sha256"] == hashlib.sha256(answer.data).hexdigest()
    assert (shown["state"], shown["list_count"]) == ("closed", 3)


def test_the_list_waits_for_joins_that_began_in_time(lobby: Lobby) -> None:
    lobby.move(-60, -1, 7200)
    lobby.tick()
    assert lobby.row()["closed_at"] is None
    lobby.move(-60, -2, 7200)
    lobby.tick()
    assert lobby.row()["closed_at"] is not None


def test_nobody_in_the_lobby_is_an_order_too(lobby: Lobby, anybody: Caller) -> None:
    lobby.draw()
    assert lobby.row()["list_sha256"] == hashlib.sha256(b"").digest()
    assert anybody.get(f"{lobby.path}/list").text == ""
    assert anybody.get(f"{lobby.path}/order").text == ""


def test_a_list_that_one_has_is_not_sent_again(lobby: Lobby, anybody: Caller) -> None:
    lobby.enter(1)
    lobby.draw()
    for name in ("list", "order"):
        tag = anybody.get(f"{lobby.path}/{name}").headers["ETag"]
        again = anybody.get(f"{lobby.path}/{name}", headers={"If-None-Match": tag})
        assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "change",
    [
        "secret = sha256('another')",
        "accounts = '{1}', list_count = 1, lobby_numbers = '{-1}'",
        "list_sha256 = sha256('another')",
        "public_source = 'another'",
        "public_value = 'another'",
        "closed_at = closed_at - interval '1 s'",
        "committed_at = committed_at - interval '1 s'",
    ],
)
def test_what_was_published_stays(lobby: Lobby, change: str) -> None:
    lobby.close()
    lobby.tick()
    lobby.give()
    with pytest.raises(psycopg.errors.CheckViolation):
        lobby.conn.execute(f"UPDATE draws SET {change}")


def test_what_was_drawn_stays(lobby: Lobby) -> None:
    lobby.draw()
    with pytest.raises(psycopg.errors.CheckViolation):
        lobby.conn.execute("UPDATE draws SET drawn_at = clock_timestamp()")


def test_a_latecomer_goes_to_the_tail(lobby: Lobby) -> None:
    lobby.enter(1)
    with another(lobby.conn) as late:
        lobby.enter(2, conn=late)
        lobby.close()
        lobby.tick()
        lobby.enter(3)
        assert lobby.row()["accounts"] == [1]
        late.commit()
    assert lobby.numbers("lobby").keys() == {1, 2}
    assert lobby.tick()["late"] == 1
    assert lobby.numbers("lobby").keys() == {1}
    lobby.give()
    lobby.tick()
    assert sorted(lobby.numbers("waiting"), key=lobby.numbers("waiting").__getitem__) == [1, 3, 2]


def test_a_latecomer_of_minutes_is_found_too(lobby: Lobby) -> None:
    with another(lobby.conn) as late:
        lobby.enter(2, conn=late)
        lobby.draw()
        lobby.conn.execute("SET session_replication_role = replica")  # no trigger keeps it
        lobby.conn.execute("UPDATE draws SET closed_at = closed_at - interval '2 min'")
        lobby.conn.execute("SET session_replication_role = origin")
        late.commit()
    assert lobby.tick()["late"] == 0
    assert watch_lobbies(lobby.conn)["late"] == 1
    assert lobby.numbers("lobby") == {}


def test_whoever_left_and_came_back_late_is_in_the_tail(lobby: Lobby) -> None:
    """On the list with an entry of theirs, but not with this one."""
    lobby.enter(1)
    lobby.enter(2)
    with another(lobby.conn) as late:
        lobby.leave(1, conn=late)
        lobby.enter(1, conn=late)
        lobby.close()
        lobby.tick()
        late.commit()
    lobby.give()
    lobby.tick()
    assert lobby.row()["accounts"] == [1, 2]
    numbers = lobby.numbers("waiting")
    assert numbers[2] == lobby.expected({1, 2})[2]
    assert numbers[1] > 2


# The draw


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=100), st.binary(max_size=200))
def test_hmac_is_hmac(conn: Conn, key: bytes, message: bytes) -> None:
    query = "SELECT hmac_sha256(hmac_block(%(k)b, 54), hmac_block(%(k)b, 92), %(m)b) AS code"
    rows = conn.execute(query, {"k": key, "m": message}).fetchall()
    assert only(rows)["code"] == hmac.digest(key, message, "sha256")


def test_the_order_is_by_lot_whoever_came_first_and_whatever_they_wish(lobby: Lobby) -> None:
    accounts = set(range(1, 400))
    for account in accounts:
        lobby.enter(account, quantity=1 + account % 5)
    lobby.draw("ein Wert mit Umlaut: ö")
    drawn = lobby.numbers("waiting")
    assert drawn == lobby.expected(accounts)
    assert drawn != {account: account for account in accounts}


def test_leaving_and_coming_back_gains_nothing(lobby: Lobby) -> None:
    for account in range(1, 20):
        lobby.enter(account)
    for _ in range(5):
        lobby.leave(7)
        lobby.enter(7)
    lobby.draw()
    assert lobby.numbers("waiting") == lobby.expected(set(range(1, 20)))


def test_whoever_left_before_the_draw_keeps_out_of_it(lobby: Lobby) -> None:
    for account in range(1, 6):
        lobby.enter(account)
    lobby.leave(1)
    lobby.close()
    lobby.tick()
    lobby.leave(2)
    lobby.give()
    lobby.tick()
    expected = lobby.expected({2, 3, 4, 5})
    assert lobby.numbers("waiting") == {a: expected[a] for a in (3, 4, 5)}
    assert lobby.numbers("left").keys() == {1, 2}
    assert lobby.enter(2)["number"] > 4


def test_the_value_is_given_once_and_only_after_the_list(lobby: Lobby) -> None:
    early = lobby.give()
    assert (early.status_code, early.json["conflict_reason"]) == (409, "not_closed")
    lobby.close()
    assert lobby.give().json["conflict_reason"] == "not_closed"
    lobby.tick()
    assert (lobby.give("1").status_code, lobby.give("1").status_code) == (202, 202)
    other = lobby.give("2")
    assert (other.status_code, other.json["conflict_reason"]) == (409, "value_given")
    lobby.tick()
    assert lobby.give("2").json["conflict_reason"] == "value_given"
    assert lobby.row()["public_value"] == "1"


def test_without_a_public_value_it_is_drawn_at_once(announced: Lobby, anybody: Caller) -> None:
    announced.announce(public_source=None)
    announced.open()
    announced.enter(1)
    announced.enter(2)
    announced.close()
    announced.tick()
    assert announced.numbers("waiting") == announced.expected({1, 2})
    shown = anybody.get(announced.path).json
    assert (shown["state"], shown["provable"], shown["public_value"]) == ("drawn", False, None)
    assert announced.give().json["conflict_reason"] == "no_public_source"


def test_two_clocks_draw_once_and_do_not_wait(lobby: Lobby) -> None:
    lobby.enter(1)
    with another(lobby.conn) as first:
        lobby.close()
        first.execute("SELECT tend_lobby(%s)", [lobby.sale.id])
        assert lobby.tick()["lobbies"] == 1  # nothing to be done beside the other
        assert lobby.row()["closed_at"] is None
        first.commit()
        lobby.give()
        first.execute("SELECT tend_lobby(%s)", [lobby.sale.id])
        assert lobby.tick()["drawn"] == 0
        first.commit()
    before = lobby.row()
    lobby.tick()
    assert lobby.row() == before
    assert lobby.numbers("waiting") == {1: 1}


def test_a_clock_that_dies_leaves_the_draw_to_the_next(lobby: Lobby) -> None:
    lobby.enter(1)
    lobby.close()
    lobby.tick()
    lobby.give()
    with pytest.raises(psycopg.errors.AdminShutdown), another(lobby.conn) as dying:
        dying.execute("SELECT tend_lobby(%s)", [lobby.sale.id])
        lobby.conn.execute("SELECT pg_terminate_backend(%s, 5000)", [dying.info.backend_pid])
        dying.execute("COMMIT")
    assert lobby.numbers("lobby").keys() == {1}
    assert lobby.tick()["drawn"] == 1
    assert lobby.numbers("waiting") == {1: 1}


def test_who_leaves_while_the_lot_is_drawn_has_left(lobby: Lobby, database_url: str) -> None:
    lobby.enter(1)
    lobby.enter(2)
    lobby.close()
    lobby.tick()
    lobby.give()
    with (
        another(lobby.conn) as clock_conn,
        another(lobby.conn) as leaver,
        ThreadPoolExecutor() as t,
    ):
        clock_conn.execute("SELECT tend_lobby(%s)", [lobby.sale.id])
        leaving = t.submit(lobby.leave, 1, leaver)
        wait_until(lambda: is_waited_for(clock_conn))
        clock_conn.commit()
        leaving.result()
        leaver.commit()
    assert lobby.numbers("left") == {1: lobby.expected({1, 2})[1]}


def test_the_draw_passes_by_whoever_is_leaving(lobby: Lobby) -> None:
    lobby.enter(1)
    lobby.enter(2)
    lobby.close()
    lobby.tick()
    lobby.give()
    with (
        another(lobby.conn) as clock_conn,
        another(lobby.conn) as leaver,
        ThreadPoolExecutor() as t,
    ):
        lobby.leave(1, leaver)
        drawing = t.submit(clock_conn.execute, "SELECT tend_lobby(%s)", [lobby.sale.id])
        wait_until(lambda: is_waited_for(leaver))
        leaver.commit()
        drawing.result()
        clock_conn.commit()
    assert lobby.numbers("waiting") == {2: lobby.expected({1, 2})[2]}
    assert lobby.numbers("left").keys() == {1}


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Every line that is logged, whatever has configured logging before."""
    with capture_logs() as lines:
        yield lines


def errors_in(lines: list[Any]) -> list[dict[str, Any]]:
    return [line for line in lines if line["log_level"] == "error"]


def test_one_lobbys_trouble_is_not_the_others(lobby: Lobby, hall: Sale, logged: list[Any]) -> None:
    other = Lobby(hall.add_event(on_sale_at=in_hours(3)).open(), lobby.conn)
    other.announce(public_source=None)
    for each in (lobby, other):
        each.open()
        each.enter(1)
        each.close()
    rule = f"ALTER TABLE draws ADD CHECK (event_id <> {lobby.sale.id} OR closed_at IS NULL)"
    lobby.conn.execute(rule)
    lobby.tick()
    assert [line["event_id"] for line in errors_in(logged)] == [lobby.sale.id]
    assert other.row()["drawn_at"] is not None


def test_the_clock_does_it(lobby: Lobby) -> None:
    lobby.enter(1)
    lobby.close()
    clock.declare_jobs()
    clock.run_due()
    assert lobby.row()["closed_at"] is not None
    query = "SELECT last_result FROM jobs WHERE name = 'tend_lobbies'"
    assert only(lobby.conn.execute(query).fetchall())["last_result"]["lobbies"] == 1


# The sale


def next_lane(conn: Conn) -> int | None:
    with conn.transaction(force_rollback=True):
        return lanes.next_lane(conn)


def test_nobody_is_served_before_the_sale_begins(lobby: Lobby) -> None:
    lobby.enter(1)
    lobby.draw()
    lobby.enter(2)
    assert next_lane(lobby.conn) is None
    lobby.begin_sale()
    assert next_lane(lobby.conn) == lobby.sale.id


def test_nobody_is_served_before_the_draw(lobby: Lobby, logged: list[Any]) -> None:
    """The tail waits, too, and somebody is called."""
    lobby.enter(1)
    lobby.begin_sale()
    lobby.enter(2)
    lobby.tick()
    assert next_lane(lobby.conn) is None
    assert watch_lobbies(lobby.conn)["waiting_for_draw"] == 1
    (alert,) = errors_in(logged)
    assert alert["event_id"] == lobby.sale.id
    assert SOURCE in alert["remedy"]
    lobby.give()
    lobby.tick()
    assert next_lane(lobby.conn) == lobby.sale.id
    assert watch_lobbies(lobby.conn)["waiting_for_draw"] == 0


def test_seats_go_in_the_order_of_the_draw(lobby: Lobby) -> None:
    """30 seats for 20 pairs; the tail gets nothing although it came with a low account id."""
    for account in range(11, 31):
        lobby.enter(account, quantity=2)
    lobby.close()
    lobby.enter(1, quantity=2)
    lobby.draw()
    lobby.begin_sale()
    lobby.sale.drain(lobby.conn)
    order = lobby.expected(set(range(11, 31)))
    assert lobby.numbers("booked").keys() == {a for a, number in order.items() if number <= 15}
    assert violations(lobby.conn) == []


def test_a_sale_that_is_put_off_waits(lobby: Lobby) -> None:
    lobby.enter(1)
    lobby.draw()
    lobby.begin_sale()
    lobby.conn.execute("UPDATE events SET on_sale_at = now() + interval '1 h'")
    assert next_lane(lobby.conn) is None


@pytest.mark.parametrize("drawn", [False, True])
def test_when_the_sale_is_called_off_everybody_is_told(lobby: Lobby, drawn: bool) -> None:
    lobby.enter(1)
    if drawn:
        lobby.draw()
    lobby.sale.opera.post(f"{lobby.sale.path}/close")
    lobby.tick()
    if drawn:
        assert next_lane(lobby.conn) == lobby.sale.id
        lobby.sale.drain(lobby.conn)
    assert lobby.numbers("unavailable").keys() == {1}
    rows = lobby.conn.execute("SELECT reason FROM entries").fetchall()
    assert only(rows)["reason"] == "sale_over"


# Checking the draw


@pytest.fixture
def drawn(lobby: Lobby) -> Lobby:
    for account in range(1, 40):
        lobby.enter(account)
    lobby.draw()
    return lobby


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    """The app at an address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def proof(drawn: Lobby, site: str) -> verify_draw.Proof:
    return verify_draw.fetch_proof(site + drawn.sale.path)


def verify(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ops.verify_draw", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_an_honest_draw_is_found_so(drawn: Lobby, site: str, tmp_path: Path) -> None:
    saved = tmp_path / "proof.json"
    url = site + drawn.sale.path
    found = verify(url, "--save", str(saved), "--account", "7")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.count("ok   ") == 6
    assert SOURCE in found.stdout
    assert f"Account 7 has number {drawn.expected(set(range(1, 40)))[7]} of 39." in found.stdout
    assert verify(str(saved), "--earlier", str(saved)).returncode == 0


@pytest.mark.processes
def test_without_a_public_value_it_says_so(announced: Lobby, site: str) -> None:
    announced.announce(public_source=None)
    announced.open()
    announced.enter(1)
    announced.close()
    announced.tick()
    found = verify(site + announced.sale.path)
    assert found.returncode == 0
    assert "random, but cannot be proved" in found.stdout


@pytest.mark.processes
def test_before_the_draw_there_is_nothing_to_check(lobby: Lobby, site: str) -> None:
    found = verify(site + lobby.sale.path)
    assert (found.returncode, found.stdout) == (1, "Nothing was drawn yet: the lobby is open.\n")


@pytest.mark.processes
def test_an_address_without_a_lobby_is_refused(announced: Lobby, site: str) -> None:
    for source in (site + announced.sale.path, "nothing", "http://127.0.0.1:9/v1/events/1"):
        found = verify(source)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.startswith("The proof cannot be read: ")


def flip(text: str) -> str:
    """Another digit at the end."""
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def swap_lines(text: str) -> str:
    """The accounts of the first two lines change places."""
    (first, a), (second, b), *rest = (line.split() for line in text.splitlines())
    return "".join(f"{n} {a}\n" for n, a in [(first, b), (second, a), *rest])


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("secret", flip, "The commitment is the sha256 of the secret."),
        ("commitment", flip, "The commitment is the sha256 of the secret."),
        ("public_value", flip, "The seed is the sha256 of the secret and the public value."),
        ("seed", flip, "The seed is the sha256 of the secret and the public value."),
        ("list_sha256", flip, "The list has the hash"),
        ("list_count", lambda count: count + 1, "accounts, sorted, each once."),
        ("list", lambda text: text.replace("17\n", ""), "The list has the hash"),
        ("list", lambda text: text + "40\n", "The list has the hash"),
        ("order", swap_lines, "are in the order that the seed and the list give."),
        ("order", lambda text: text.rpartition("39 ")[0], "are in the order"),
        ("drawn_at", lambda _: "2020-01-01T00:00:00+00:00", "It was committed to before"),
        ("secret", lambda _: None, "The proof is incomplete or damaged"),
        ("secret", lambda _: "no hex", "The proof is incomplete or damaged"),
        ("list", lambda _: None, "The proof is incomplete or damaged"),
        ("order", lambda _: None, "are in the order"),
    ],
)
def test_tampering_is_caught(
    proof: verify_draw.Proof,
    capsys: pytest.CaptureFixture[str],
    part: str,
    change: Any,
    sentence: str,
) -> None:
    assert verify_draw.report(proof, None, None) == 0
    capsys.readouterr()
    holder = proof if part in proof else proof["lobby"]
    holder[part] = change(holder[part])
    assert verify_draw.report(proof, None, None) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert any(sentence in line for line in wrong), wrong


def test_a_proof_made_up_anew_is_caught_by_who_kept_the_earlier_one(
    proof: verify_draw.Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    """The organiser drew again with another secret: all is well, but for the commitment."""
    earlier = json.loads(json.dumps(proof))
    earlier["lobby"] |= dict.fromkeys(("secret", "seed", "public_value", "drawn_at"))
    earlier["lobby"]["state"] = "closed"
    lobby, secret = proof["lobby"], bytes(32)
    seed = hashlib.sha256(secret + lobby["public_value"].encode()).digest()
    lobby |= {"secret": secret.hex(), "seed": seed.hex()}
    lobby["commitment"] = hashlib.sha256(secret).hexdigest()
    order = verify_draw.draw(seed, list(range(1, 40)))
    proof["order"] = "".join(f"{n} {a}\n" for n, a in enumerate(order, start=1))
    assert verify_draw.report(proof, None, None) == 0
    assert verify_draw.report(proof, earlier, None) == 1
    assert "WRONG commitment is what it was" in capsys.readouterr().out


def test_times_are_the_databases(lobby: Lobby, anybody: Caller) -> None:
    shown = datetime.fromisoformat(anybody.get(lobby.path).json["server_time"])
    assert abs(shown - datetime.now(UTC)) < timedelta(seconds=30)
