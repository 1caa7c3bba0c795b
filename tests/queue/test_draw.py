"""The draw of a lobby and the sale after it: an order by lot, drawn once, whatever happens."""

import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from db.connections import Conn, one
from db.maintenance.invariants import violations
from db.queue import lanes
from tasks import clock
from tasks.lobbies import watch_lobbies
from tests.support.lobbies import SOURCE, Lobby
from tests.support.theatre import another, is_waited_for
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, in_hours

# The draw


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=100), st.binary(max_size=200))
def test_hmac_is_hmac(conn: Conn, key: bytes, message: bytes) -> None:
    query = "SELECT hmac_sha256(hmac_block(%(k)b, 54), hmac_block(%(k)b, 92), %(m)b) AS code"
    row = one(conn.execute(query, {"k": key, "m": message}))
    assert row["code"] == hmac.digest(key, message, "sha256")


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
    assert one(lobby.conn.execute(query))["last_result"]["lobbies"] == 1


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
    row = one(lobby.conn.execute("SELECT reason FROM entries"))
    assert row["reason"] == "sale_over"
