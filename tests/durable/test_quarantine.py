"""A task over which two workers died is alone in its process: none dies of its neighbours."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from db.connections import transaction
from db.durable import outbox
from tasks.durable import quarantine as quarantine_module
from tasks.durable.leases import Lease, policies, stop_if_told, take_lease, told_to_stop
from tasks.durable.quarantine import quarantine
from tests.support.running import Running
from tests.support.waiting import wait_until


class Stage:
    """What tasks of the actor `player` do: begin, and wait for their cue."""

    def __init__(self) -> None:
        self.on_it: list[str] = []
        self.seen: list[str] = []
        self.beside: dict[str, set[str]] = defaultdict(set)
        self.cues: dict[str, threading.Event] = defaultdict(threading.Event)

    def play(self, lease: Lease) -> None:
        name = lease.task.args["name"]
        self.seen.append(name)
        self.on_it.append(name)
        for player in tuple(self.on_it):
            self.beside[player] |= set(self.on_it)
        try:
            while not self.cues[name].wait(0.01):
                if name.startswith("polite"):
                    stop_if_told()
        finally:
            self.on_it.remove(name)
        with lease.transaction() as conn:
            lease.finish(conn)


stage = Stage()


@pytest.fixture
def shop(running: Running) -> Running:
    from tasks.durable.actors import durable

    def player(lease: Lease) -> None:
        stage.play(lease)

    if "player" not in policies:
        durable(queue="mail", lease=500)(player)
    stage.__init__()  # type: ignore[misc]
    return running


def add(shop: Running, name: str, claims: int = 0) -> int:
    query = "select enqueue('player', 'mail', null, jsonb_build_object('name', %s::text)) as id"
    row: Any = shop.conn.execute(query, [name]).fetchone()
    shop.conn.execute("update outbox set claims = %s where id = %s", [claims, row["id"]])
    return int(row["id"])


def die(shop: Running) -> None:
    """What is leased was in the hands of a worker that is no more."""
    shop.conn.execute("update outbox set lease_until = now() - interval '1 s'")


@contextmanager
def working(shop: Running) -> Iterator[None]:
    """Work, and let all go on at the end."""
    with shop.work(threads=16):
        try:
            yield
        finally:
            for cue in tuple(stage.cues.values()):
                cue.set()


def test_after_two_deaths_it_is_leased_to_nobody_who_has_others(shop: Running) -> None:
    task = add(shop, "suspect")
    for claims in (1, 2):
        (leased,) = take_lease([task], policies["player"]).tasks
        assert leased.claims == claims
        die(shop)
    assert take_lease([task], policies["player"]).tasks == []
    (leased,) = take_lease([task], policies["player"], alone=True).tasks
    assert leased.claims == 3


def test_its_message_says_so(shop: Running) -> None:
    from tasks.relay import messages

    ids = [add(shop, "task", claims) for claims in (0, 1, 2, 5)]
    with transaction() as conn:
        due = outbox.take_due(conn, "mail", 100)
    alone = {id: bool(m.options.get("alone")) for m in messages(due) for id in m.args[0]}
    assert [alone[id] for id in ids] == [False, False, True, True]


def test_it_is_alone_from_its_beginning_to_its_end(
    shop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_module, "LONGEST_WAIT", 5000)
    for name in ("one", "two"):
        add(shop, name)
    with working(shop):
        wait_until(lambda: sorted(stage.on_it) == ["one", "two"])
        add(shop, "suspect", claims=2)
        wait_until(lambda: quarantine.wanted == 1)
        add(shop, "late")
        stage.cues["one"].set()
        wait_until(lambda: was_sent(shop, "late"))
        assert stage.on_it == ["two"]
        stage.cues["two"].set()
        wait_until(lambda: stage.on_it == ["suspect"])
        wait_until(lambda: was_sent(shop, "late", 3))
        stage.cues["suspect"].set()
        wait_until(lambda: stage.on_it == ["late"])
    assert stage.beside["suspect"] == {"suspect"}


def was_sent(shop: Running, name: str, times: int = 2) -> bool:
    """Whether as many messages for a task have reached the worker."""
    from tasks.relay import waiting

    query = "select from outbox where args ->> 'name' = %s and sends >= %s"
    return bool(shop.conn.execute(query, [name, times]).fetchall()) and waiting("mail") == 0


def test_long_work_makes_way(shop: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_module, "LONGEST_WAIT", 5000)
    add(shop, "polite")
    with working(shop):
        wait_until(lambda: stage.on_it == ["polite"])
        add(shop, "suspect", claims=2)
        wait_until(lambda: stage.on_it == ["suspect"])
        stage.cues["suspect"].set()
        wait_until(lambda: stage.on_it == ["polite"])
    assert stage.seen == ["polite", "suspect", "polite"]


def test_one_that_hangs_does_not_stop_its_process_for_ever(shop: Running) -> None:
    add(shop, "suspect", claims=2)
    with working(shop):
        wait_until(lambda: stage.on_it == ["suspect"])
        add(shop, "late")
        wait_until(lambda: stage.on_it == ["suspect", "late"])


def test_one_that_finds_no_room_is_sent_again(shop: Running) -> None:
    add(shop, "one")
    with working(shop):
        wait_until(lambda: stage.on_it == ["one"])
        add(shop, "suspect", claims=2)
        wait_until(lambda: quarantine.wanted)
        wait_until(lambda: not quarantine.wanted)
        stage.cues["one"].set()
        wait_until(lambda: stage.on_it == ["suspect"])


def test_a_worker_that_is_told_to_stop_waits_for_no_quarantine(
    shop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> None:
        told_to_stop.wait(60)
        stage.cues["one"].set()

    monkeypatch.setattr(quarantine_module, "LONGEST_WAIT", 5000)
    add(shop, "one")
    ending = threading.Thread(target=end)
    with shop.work(threads=16):
        wait_until(lambda: stage.on_it == ["one"])
        ending.start()
        add(shop, "suspect", claims=2)
        wait_until(lambda: quarantine.wanted)
        add(shop, "late")
        wait_until(lambda: was_sent(shop, "late"))
    ending.join()
    assert stage.seen == ["one"]


def test_one_that_asks_whether_to_stop_stays_alone(
    shop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own repeated messages, and those of others that want to be alone, do not put it out."""
    monkeypatch.setattr(quarantine_module, "LONGEST_WAIT", 5000)
    for name in ("polite one", "polite two"):
        add(shop, name, claims=2)
    with working(shop):
        wait_until(lambda: len(stage.on_it) == 1)
        first = stage.on_it[0]
        wait_until(lambda: was_sent(shop, first, 3))
        (second,) = {"polite one", "polite two"} - {first}
        wait_until(lambda: was_sent(shop, second, 3))
        stage.cues[first].set()
        wait_until(lambda: stage.on_it == [second])
        stage.cues[second].set()
        wait_until(lambda: not stage.on_it)
    assert stage.seen == [first, second]
    assert stage.beside == {first: {first}, second: {second}}


def test_one_that_makes_room_keeps_the_claims_of_workers_that_died(
    shop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_module, "LONGEST_WAIT", 5000)
    polite = add(shop, "polite", claims=1)
    with working(shop):
        wait_until(lambda: stage.on_it == ["polite"])
        add(shop, "suspect", claims=2)
        wait_until(lambda: stage.on_it == ["suspect"])
        (row,) = shop.conn.execute("select claims from outbox where id = %s", [polite]).fetchall()
        assert row["claims"] == 1
