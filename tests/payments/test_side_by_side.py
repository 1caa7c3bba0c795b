"""Threads for what goes on side by side: how many, and when they are free for others."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from db.durable.outbox import Task
from tasks.durable import side_by_side
from tasks.durable.leases import Lease, Policy, Stopping, told_to_stop
from tasks.durable.side_by_side import Room, beside
from tests.support.waiting import wait_until


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    told_to_stop.clear()
    room = Room(3)
    monkeypatch.setattr(side_by_side, "room", room)
    yield room
    told_to_stop.clear()
    assert room.free == 3, "all were given back"


def lease() -> Lease:
    task = Task(1, "advance", None, {}, None, claims=1, failures=0, trace=None)
    return Lease(uuid4(), [task], Policy("payments"))


def work(lease: Lease, over: threading.Event, late: bool) -> None:
    if late:
        over.wait()


def carry_on(count: int, over: threading.Event, late: int = 0) -> None:
    """A group: so many are late, and the others end at once."""
    with beside(count) as others:
        for number in range(count):
            others.start(work, lease(), over, number < late)


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


def test_a_small_group_does_not_overtake_a_large_one(room: Room) -> None:
    over, entered = threading.Event(), list[int]()

    def enter(count: int) -> None:
        with beside(count):
            entered.append(count)

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(carry_on, 2, over, late=2)
        wait_until(lambda: room.free == 1)
        large = threads.submit(enter, 3)
        wait_until(room.turn.locked)
        small = threads.submit(enter, 1)
        wait_until(lambda: small.running())
        over.set()
        for group in (first, large, small):
            group.result()
    assert entered == [3, 1]


def test_who_waits_for_threads_hears_that_it_is_to_stop(room: Room) -> None:
    over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        group = threads.submit(carry_on, 3, over, late=3)
        wait_until(lambda: room.free == 0)
        told_to_stop.set()
        try:
            with pytest.raises(Stopping):
                carry_on(1, over)
        finally:
            over.set()
        group.result()
