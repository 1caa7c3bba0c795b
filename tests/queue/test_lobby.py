"""The lobby: announcing it, joining it, and the list that is published when it has closed."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from db.connections import Conn
from db.maintenance.invariants import violations
from tasks.lobbies import watch_lobbies
from tests.support.lobbies import JOIN, SOURCE, Lobby
from tests.support.theatre import another, is_waited_for
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, in_hours

# Announcing


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
        WHERE event_id = %s AND action !~ '^event' ORDER BY id"""
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


@pytest.mark.slow
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
