"""Documents that are the same for all, while the database is away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from db.runtime.errors import NotFound
from tests.support.waiting import wait_until
from web.support.snapshots import Snapshots

THREADS = 8


class Source:
    """A database that is away: each who asks waits until all have come."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.calls = 0
        self.asked = threading.Event()

    def make(self, id: int, before: str | None) -> str:
        self.calls += 1
        assert self.asked.wait(10)
        if self.error is not None:
            raise self.error
        return f"document {self.calls}"


@pytest.mark.slow
def test_who_waits_for_a_database_that_is_away_does_not_try_in_turn() -> None:
    source = Source(psycopg.OperationalError("it is away"))
    snapshots = Snapshots(source.make, seconds=1, most=8)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = [pool.submit(snapshots.get, 1) for _ in range(THREADS)]
        wait_until(lambda: source.calls == 1)
        source.asked.set()
        errors = [answer.exception() for answer in answers]
    assert [type(error) for error in errors] == [psycopg.OperationalError] * THREADS
    assert source.calls == 1
    source.error = None
    wait_until(lambda: gets(snapshots))
    assert source.calls == 2


def gets(snapshots: Snapshots[str]) -> bool:
    try:
        return snapshots.get(1) == "document 2"
    except psycopg.OperationalError:
        return False


def test_meanwhile_an_old_one_is_served() -> None:
    source = Source(psycopg.OperationalError("it is away"))
    source.asked.set()
    source.error, away = None, source.error
    snapshots = Snapshots(source.make, seconds=0, most=8)
    assert snapshots.get(1) == "document 1"
    source.error = away
    with pytest.raises(psycopg.OperationalError):
        snapshots.get(1)
    assert {snapshots.get(1) for _ in range(5)} == {"document 1"}
    assert source.calls == 2


def test_what_is_not_there_may_be_there_at_once() -> None:
    """An event that was just opened, say."""
    source = Source(NotFound())
    source.asked.set()
    snapshots = Snapshots(source.make, seconds=1, most=8)
    with pytest.raises(NotFound):
        snapshots.get(1)
    source.error = None
    assert snapshots.get(1) == "document 2"


@pytest.mark.faults("evicted documents")
def test_ids_that_name_nothing_evict_no_document() -> None:
    made: list[int] = []

    def make(id: int, before: str | None) -> str:
        made.append(id)
        if id > 10:
            raise NotFound
        return f"document {id}"

    snapshots = Snapshots(make, seconds=60, most=4)
    for id in (1, 2, 3):
        snapshots.get(id)
    for unknown in range(100, 200):
        with pytest.raises(NotFound):
            snapshots.get(unknown)
    made.clear()
    assert [snapshots.get(id) for id in (1, 2, 3)] == ["document 1", "document 2", "document 3"]
    assert made == []
