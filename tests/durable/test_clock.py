"""The clock: jobs run when they are due, once, however many clocks there are."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.connections import Conn, one
from db.durable import jobs
from ops.console import commands as console
from tasks import clock
from tasks.clock import Job
from tests.support.running import Running
from tests.support.theatre import another
from tests.support.waiting import wait_until

HOUR = timedelta(hours=1)


@pytest.fixture
def runs(running: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two jobs of our own instead of Usher's: `first` and `second` write down that they ran."""
    ran: list[str] = []

    def job(name: str) -> Any:
        def run(conn: Conn, tick: datetime) -> str:
            ran.append(name)
            return f"{name} is done"

        return run

    jobs = {name: Job(HOUR, job(name)) for name in ("first", "second")}
    monkeypatch.setattr(clock, "JOBS", jobs)
    clock.declare_jobs()
    return ran


@pytest.fixture
def ticks(running: Running, monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """A job of our own that catches up three missed ticks, and writes down what it was told."""
    told: list[datetime] = []
    job = Job(HOUR, lambda conn, tick: told.append(tick), catch_up=3)
    monkeypatch.setattr(clock, "JOBS", {"first": job})
    clock.declare_jobs()
    return told


def row_of(running: Running, name: str) -> dict[str, Any]:
    return one(running.conn.execute("select * from jobs where name = %s", [name]))


def is_taken(running: Running, name: str) -> bool:
    query = "select from jobs where name = %s"
    if not running.conn.execute(query, [name]).fetchall():
        return False
    return not running.conn.execute(query + " for update skip locked", [name]).fetchall()


def miss(running: Running, since: str) -> datetime:
    """No clock has ticked since then; when it would have."""
    query = "update jobs set next_at = now() - %s::interval, retry_at = null returning next_at"
    next_at: datetime = running.conn.execute(query, [since]).fetchall()[0]["next_at"]
    return next_at


def test_a_job_runs_when_it_is_due(running: Running, runs: list[str]) -> None:
    clock.run_due()
    clock.run_due()
    assert runs == ["first", "second"]
    running.conn.execute("update jobs set next_at = now() where name = 'second'")
    clock.run_due()
    assert runs == ["first", "second", "second"]
    row = row_of(running, "second")
    assert row["last_result"] == "second is done"
    assert row["last_finished_at"] >= row["last_started_at"]


def test_each_thread_has_jobs_of_its_own(running: Running, runs: list[str]) -> None:
    clock.run_due(["second"])
    assert runs == ["second"]


def test_two_clocks_run_a_job_once(running: Running, runs: list[str]) -> None:
    barrier = threading.Barrier(4)

    def tick() -> None:
        barrier.wait()
        clock.run_due()

    clocks = [threading.Thread(target=tick) for _ in range(4)]
    for thread in clocks:
        thread.start()
    for thread in clocks:
        thread.join()
    assert sorted(runs) == ["first", "second"]


def test_two_clocks_share_the_ticks_and_run_none_twice(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_down(conn: Conn, tick: datetime) -> None:
        conn.execute("insert into audit_log (actor, action) values ('clock', %s)", [str(tick)])

    monkeypatch.setattr(clock, "TICK", 0.001)
    job = Job(timedelta(milliseconds=20), write_down, catch_up=1000)
    monkeypatch.setattr(clock, "JOBS", {"first": job})
    stop = threading.Event()
    clocks = [threading.Thread(target=clock.run, args=[stop]) for _ in range(2)]
    for thread in clocks:
        thread.start()
    query = "select count(*) as runs, count(distinct action) as ticks from audit_log"
    wait_until(lambda: one(running.conn.execute(query))["runs"] >= 20)
    stop.set()
    for thread in clocks:
        thread.join()
    found = one(running.conn.execute(query))
    assert found["runs"] == found["ticks"]


def test_a_clock_does_not_wait_for_a_job_that_another_has(
    running: Running, runs: list[str]
) -> None:
    with another(running.conn) as other:
        assert jobs.take_tick(other, "first")
        clock.run_due()
        assert runs == ["second"]


def test_a_long_job_apart_holds_up_no_other(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(clock, "TICK", 0.001)
    table = {
        "long": Job(HOUR, lambda conn, tick: done.wait(10), apart=True),
        "short": Job(timedelta(milliseconds=1), lambda conn, tick: None),
    }
    monkeypatch.setattr(clock, "JOBS", table)
    stop = threading.Event()
    thread = threading.Thread(target=clock.run, args=[stop])
    thread.start()
    try:
        wait_until(lambda: is_taken(running, "long"))
        before = row_of(running, "short")["next_at"]
        wait_until(lambda: row_of(running, "short")["next_at"] > before)
        assert row_of(running, "long")["last_finished_at"] is None
    finally:
        done.set()
        stop.set()
        thread.join()
    assert row_of(running, "long")["last_finished_at"] is not None


@pytest.mark.parametrize(
    ("minutes", "seconds"), [((0.01, 60), 0.5), ((1, 60), 3), ((60 * 24,), 10)]
)
def test_a_thread_of_rare_jobs_looks_rarely(
    minutes: tuple[float, ...], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = (timedelta(minutes=one) for one in minutes)
    table = {str(n): Job(one, lambda conn, tick: None) for n, one in enumerate(every)}
    monkeypatch.setattr(clock, "JOBS", table)
    assert clock.pause_between_looks(table) == seconds


def test_missed_ticks_are_skipped(running: Running, runs: list[str]) -> None:
    for _ in range(2):
        missed = miss(running, "1 day 1 min")
        clock.run_due()
        clock.run_due()
        next_at = row_of(running, "second")["next_at"]
        assert next_at > missed + timedelta(days=1)
        assert (next_at - missed) % HOUR == timedelta(0), "ticks stay where they were"
    assert runs == ["first", "second"] * 2


def test_missed_ticks_are_caught_up_one_by_one(running: Running, ticks: list[datetime]) -> None:
    missed = miss(running, "2 h 1 min")
    for _ in range(5):
        clock.run_due()
    assert ticks == [missed, missed + HOUR, missed + 2 * HOUR]


def test_no_more_missed_ticks_are_caught_up_than_declared(
    running: Running, ticks: list[datetime]
) -> None:
    missed = miss(running, "10 h 1 min")
    for _ in range(6):
        clock.run_due()
    assert ticks == [missed + hours * HOUR for hours in (7, 8, 9, 10)]


def test_a_daily_job_ticks_at_its_time_of_day(
    running: Running, ticks: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = clock.JOBS["first"].run
    job = Job(timedelta(days=1), told, at=timedelta(hours=3))
    monkeypatch.setattr(clock, "JOBS", {"daily": job})
    clock.declare_jobs()
    clock.run_due()
    (tick,) = ticks
    assert (tick.astimezone(UTC).hour, tick.minute, tick.second) == (3, 0, 0)
    assert row_of(running, "daily")["next_at"] == tick + timedelta(days=1)


def failing(runs: list[str]) -> Job:
    def fail(conn: Conn, tick: datetime) -> None:
        runs.append("failed")
        conn.execute("insert into audit_log (actor, action) values ('clock', 'half done')")
        raise ZeroDivisionError("nothing by nothing")

    return Job(HOUR, fail)


def test_a_job_that_fails_is_rolled_back_and_stops_no_other(
    running: Running, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clock.JOBS, "first", failing(runs))
    clock.run_due()
    assert runs == ["failed", "second"]
    assert running.conn.execute("select from audit_log where actor = 'clock'").fetchall() == []
    row = row_of(running, "first")
    assert row["last_error"] == "ZeroDivisionError: nothing by nothing"
    assert (row["failures"], row["last_finished_at"]) == (1, None)


def test_a_job_that_failed_is_tried_again_in_a_while_with_the_same_tick(
    running: Running, ticks: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, runs = clock.JOBS["first"], list[str]()
    monkeypatch.setitem(clock.JOBS, "first", failing(runs))
    missed = row_of(running, "first")["next_at"]
    clock.run_due()
    clock.run_due()
    assert runs == ["failed"]
    monkeypatch.setitem(clock.JOBS, "first", good)
    running.conn.execute("update jobs set retry_at = now()")
    clock.run_due()
    assert ticks == [missed]
    row = row_of(running, "first")
    assert (row["failures"], row["retry_at"]) == (0, None)


def test_a_changed_interval_is_taken_over(
    running: Running, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(clock.JOBS["first"], every=timedelta(minutes=5), catch_up=2)
    monkeypatch.setitem(clock.JOBS, "first", job)
    clock.declare_jobs()
    rows = running.conn.execute("select every, catch_up from jobs order by name").fetchall()
    assert [tuple(row.values()) for row in rows] == [(timedelta(minutes=5), 2), (HOUR, 0)]


def test_a_job_that_is_no_more_vanishes(
    running: Running, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(clock.JOBS, "first")
    clock.declare_jobs()
    rows = running.conn.execute("select name from jobs").fetchall()
    assert [row["name"] for row in rows] == ["second"]


def test_the_console_tells_what_went_wrong(
    running: Running, runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(clock.JOBS, "first", failing(runs))
    clock.run_due()
    console.read_command(["jobs"]).run(None)
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith("first ") and "done never" in first
    assert "failed 1 times: ZeroDivisionError" in first
    assert second.startswith("second ") and "every 1:00:00" in second and "failed" not in second


def test_it_ends_holds_past_their_deadline(running: Running) -> None:
    booking = running.sale.hold("alice")
    late = "update bookings set deadline = now() - interval '1 s' where id = %s"
    running.conn.execute(late, [booking])
    clock.declare_jobs()
    clock.run_due()
    assert running.booking(booking)["state"] == "expired"
    row = running.conn.execute("select * from jobs where name = 'expire_holds'").fetchone()
    assert row and row["last_result"] == {"expired": 1, "expiring": 0}


def test_all_jobs_run_on_a_new_database(running: Running) -> None:
    clock.declare_jobs()
    clock.run_due()
    ran = running.conn.execute("select name from jobs where last_finished_at is not null")
    done = {name for name, job in clock.JOBS.items() if not job.enqueues}
    assert {row["name"] for row in ran} == done


def test_a_hold_whose_saga_is_busy_waits_for_the_next_tick(running: Running) -> None:
    """The saga locks task, then booking. A clock that waited for the task, holding the booking,
    would make a deadlock."""
    booking = running.sale.hold("alice")
    running.pay(booking)
    late = "update bookings set deadline = now() - interval '1 hour' where id = %s"
    running.conn.execute(late, [booking])
    lease = running.lease()
    clock.declare_jobs()
    with lease.transaction() as conn:
        clock.run_due()
        conn.execute("set local lock_timeout = '1 s'")
        conn.execute("select from bookings where id = %s for update", [booking])
    assert running.booking(booking)["state"] == "authorising"
    running.conn.execute("update jobs set next_at = now()")
    clock.run_due()
    assert running.booking(booking)["state"] == "expiring"


def test_a_buyer_who_cancels_and_a_saga_make_no_deadlock(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.pay(booking)
    lease = running.lease()
    buyer = threading.Thread(target=running.cancel, args=[booking])
    with lease.transaction() as conn:
        buyer.start()
        wait_until(running.somebody_waits)
        conn.execute("set local lock_timeout = '500ms'")
        conn.execute("select from bookings where id = %s for update", [booking])
    buyer.join()
    assert running.booking(booking)["state"] == "expiring"
    assert running.tasks()[0]["again"]
