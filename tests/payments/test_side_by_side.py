"""Threads for what goes on side by side: how many, and when they are free for others."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from db.durable.outbox import Task
from tasks.durable import side_by_side
from tasks.durable.leases import Lease, Policy
from tasks.durable.side_by_side import Returns, Room, beside
from tests.support.waiting import wait_until


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    room = Room(3)
    monkeypatch.setattr(side_by_side, "room", room)
    yield room
    assert room.free == 3, "all were given back"


def lease(tasks: int) -> Lease:
    named = [
        Task(n, "advance", None, {}, None, claims=1, failures=0, trace=None) for n in range(tasks)
    ]
    return Lease(uuid4(), named, Policy("payments"))


def work(lease: Lease, over: threading.Event, late: bool) -> None:
    if late:
        over.wait()


def carry_on(count: int, over: threading.Event, late: int = 0) -> int:
    """A group: so many are late, and the others end at once. How many were begun."""
    with beside(lease(count)) as (now, others):
        for number, task in enumerate(now.tasks):
            others.start(work, now.of([task]), over, number < late)
    return len(now.tasks)


def test_a_late_one_keeps_its_own_thread_and_no_other(room: Room) -> None:
    over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        group = threads.submit(carry_on, 3, over, late=1)
        try:
            wait_until(lambda: room.free == 2)
            carry_on(2, over)
            assert not group.done() and room.free == 2
        finally:
            over.set()
        group.result()


def test_what_comes_late_is_taken_later_and_nothing_is_waited_for_in_between() -> None:
    returns = Returns[str]()
    for _ in range(4):
        returns.expect()
    returns.come_back("first")
    returns.come_back()
    assert returns.take() == ["first"], "two are still out"
    returns.come_back("slow")
    returns.come_back("slower")
    assert returns.take() == ["slow", "slower"]
    assert returns.take() == []


def test_places_that_are_not_needed_are_given_back_while_a_late_one_is_out(room: Room) -> None:
    over = threading.Event()
    with beside(lease(3)) as (now, others):
        for number, task in enumerate(now.tasks):
            others.start(work, now.of([task]), over, number == 0)
        try:
            wait_until(lambda: len(others.running()) == 1)
            others.keep(1)
            assert room.free == 2
        finally:
            over.set()
