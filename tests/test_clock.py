"""The clock: jobs run when they are due, once, however many clocks there are."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from db.connections import Conn
from tasks import clock
from tests.running import Running
from tests.waiting import wait_until

HOUR = timedelta(hours=1)


@pytest.fixture
def runs(running: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two jobs of our own instead of Usher's: `first` and `second` write down that they ran."""
    ran: list[str] = []

    def job(name: str) -> Any:
        def run(conn: Conn) -> str:
            ran.append(name)
            return f"{name} is done"

        return run

    jobs = {name: (HOUR, job(name)) for name in ("first", "second")}
    monkeypatch.setattr(clock, "JOBS", jobs)
    clock.declare_jobs()
    return ran


def test_a_job_runs_when_it_is_due(running: Running, runs: list[str]) -> None:
    clock.run_due()
    clock.run_due()
    assert runs == ["first", "second"]
    running.conn.execute("update jobs set next_at = now() where name = 'second'")
    clock.run_due()
    assert runs == ["first", "second", "second"]
    row = running.conn.execute("select * from jobs where name = 'second'").fetchone()
    assert row and row["last_result"] == "second is done"
    assert row["last_finished_at"] >= row["last_started_at"]


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


def test_missed_ticks_are_skipped(running: Running, runs: list[str]) -> None:
    running.conn.execute("update jobs set next_at = now() - interval '1 day'")
    clock.run_due()
    running.conn.execute("update jobs set next_at = next_at - interval '1 s'")
    clock.run_due()
    clock.run_due()
    assert runs == ["first", "second"] * 2


def test_a_job_that_fails_is_rolled_back_tried_again_and_stops_no_other(
    running: Running, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(conn: Conn) -> None:
        runs.append("failed")
        conn.execute("insert into audit_log (actor, action) values ('clock', 'half done')")
        raise ZeroDivisionError

    monkeypatch.setitem(clock.JOBS, "first", (HOUR, fail))
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            clock.run_due()
    assert runs == ["failed", "second", "failed"]
    assert running.conn.execute("select from audit_log").fetchall() == []


def test_a_changed_interval_is_taken_over(
    running: Running, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(clock.JOBS, "first", (timedelta(minutes=5), clock.JOBS["first"][1]))
    clock.declare_jobs()
    rows = running.conn.execute("select every from jobs order by name").fetchall()
    assert [row["every"] for row in rows] == [timedelta(minutes=5), HOUR]


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
    ran = running.conn.execute("select count(*) as n from jobs where last_finished_at is not null")
    assert ran.fetchall() == [{"n": len(clock.JOBS)}]


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
