"""Locks are taken in one order, so transactions never wait for each other in a circle; a request
whose transaction loses to another one begins again."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.errors import DeadlockDetected, LockNotAvailable, RaiseException

from db.connections import Conn, one
from ops.local.servers import ON_PURPOSE, Postgres
from tests.support.notifying import news
from tests.support.running import Running
from tests.support.theatre import Theatre, another, build_evening, is_waited_for
from tests.support.waiting import wait_until
from tests.support.world import Caller
from web.api.gateway_notifications import store
from web.support.transactions import RETRIED, TRIES, WAITS, retried

pytestmark = pytest.mark.faults("F1")


@contextmanager
def beside(work: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Work that another thread does while the block lasts, and ends with it.

    If the block fails it is not waited for: it may want a lock that a block around this one has.
    """
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    try:
        yield future
    except BaseException:
        pool.shutdown(wait=False)
        raise
    future.result()
    pool.shutdown()


@contextmanager
def recording(running: Running, booking: UUID) -> Iterator[Conn]:
    """A worker's transaction that has locked the task of a booking, as each of them begins."""
    with another(running.conn) as worker:
        worker.execute("select from outbox where key = %s for update", [str(booking)])
        yield worker


def test_a_notification_comes_while_its_payment_is_recorded(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    about = news(payment, "authorised")
    with recording(running, booking) as worker, beside(lambda: store(about)) as told:
        wait_until(lambda: is_waited_for(worker))
        worker.execute("update payments set gateway_ref = 'pi_1' where id = %s", [payment])
        worker.commit()
        assert told.result() == "news"


def test_what_is_recorded_while_its_notification_waits_is_no_news(running: Running) -> None:
    """So the task that is ending does not run once more to find out what it knows."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    about = news(payment, "authorised")
    record = "update payments set state = 'authorised', gateway_ref = 'pi_1' where id = %s"
    with recording(running, booking) as worker, beside(lambda: store(about)) as told:
        wait_until(lambda: is_waited_for(worker))
        worker.execute(record, [payment])
        worker.execute("delete from outbox where key = %s", [str(booking)])
        worker.commit()
        assert told.result() == "no_news"
    assert running.tasks() == []


def test_a_payment_begins_while_a_task_of_its_booking_ends(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.conn.execute("select wake_sagas(event_id, array[id]) from bookings")
    with recording(running, booking) as worker, beside(lambda: running.pay(booking)):
        wait_until(lambda: is_waited_for(worker))
        worker.execute("select from bookings where id = %s for update nowait", [booking])
        worker.commit()


def test_a_booking_is_given_up_while_its_payment_is_recorded(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.pay(booking)
    with (
        recording(running, booking) as worker,
        beside(lambda: running.cancel(booking)) as cancelled,
    ):
        wait_until(lambda: is_waited_for(worker))
        worker.execute("select from bookings where id = %s for update nowait", [booking])
        worker.commit()
        assert cancelled.result() == "authorising"


def test_a_hold_ends_while_its_payment_is_recorded(running: Running) -> None:
    """Expiry passes it by: it comes back, and its neighbours do not wait."""
    booking, other = running.sale.hold("alice"), running.sale.hold("bob")
    for each in (booking, other):
        running.pay(each)
    late = "update bookings set deadline = now() - interval '2 min'"
    running.conn.execute(late)
    with recording(running, booking):
        running.tick()
        assert running.booking(booking)["state"] == "authorising"
        assert running.booking(other)["state"] == "expiring"
    running.tick()
    assert running.booking(booking)["state"] == "expiring"


def test_a_task_that_is_enqueued_after_a_lock_is_refused(conn: Conn) -> None:
    """In tests: a trigger looks at each enqueue of the suite."""
    theatre = build_evening(conn)
    booking = theatre.hold("alice")
    with conn.transaction():
        conn.execute("select from bookings where id = %s for update", [booking])
        with pytest.raises(RaiseException, match="is enqueued after locks of bookings"):
            conn.execute("select wake_sagas(%s, %s)", [theatre.event, [booking]])


@pytest.fixture
def sale(conn: Conn, configured: dict[str, str]) -> Theatre:
    return build_evening(conn)


def counted(reason: str) -> float:
    return float(RETRIED.labels(reason)._value.get())


def test_a_transaction_that_is_ended_by_a_deadlock_begins_again(sale: Theatre) -> None:
    first, second = sale.hold("alice"), sale.hold("bob")
    before, tries, has_first = counted("deadlock"), list[Conn](), threading.Event()
    lock = "select from bookings where id = %s for update"

    def lock_both(conn: Conn) -> str:
        tries.append(conn)
        conn.execute(lock, [first])
        if len(tries) == 1:
            conn.execute("select set_config('application_name', %s, true)", [ON_PURPOSE])
            conn.execute("set local deadlock_timeout = '10ms'")
            has_first.set()
            wait_until(lambda: is_waited_for(conn))
        conn.execute(lock, [second])
        return "done"

    with another(sale.conn) as other:
        other.execute("set deadlock_timeout = '1min'")  # it waits first, and is not the victim
        other.execute(lock, [second])
        with beside(lambda: retried(lock_both)) as work:
            assert has_first.wait(20)
            other.execute(lock, [first])
            other.commit()
            assert work.result() == "done"
    assert (len(tries), counted("deadlock")) == (2, before + 1)


@pytest.mark.parametrize(("error", "tries"), [(DeadlockDetected, TRIES), (LockNotAvailable, WAITS)])
def test_it_does_not_begin_again_for_ever(
    sale: Theatre, error: type[psycopg.Error], tries: int
) -> None:
    begun = list[Conn]()

    def lose(conn: Conn) -> None:
        begun.append(conn)
        raise error

    with pytest.raises(error):
        retried(lose)
    assert len(begun) == tries


@pytest.mark.own_database
def test_deadlocks_are_counted_for_operators(anybody: Caller, conn: Conn) -> None:
    assert one(conn.execute("show log_lock_waits"))
    assert "usher_deadlocks_total 0.0" in anybody.get("/metrics").text


def test_a_server_that_saw_a_deadlock_fails_its_suite_and_campaign(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres")
    server.log_path.write_text(
        "2026-11-29 06:00:00 UTC [1] usher ERROR:  deadlock detected\n"
        f"2026-11-29 06:00:00 UTC [1] {ON_PURPOSE} ERROR:  deadlock detected\n"
    )
    assert [line.split()[4] for line in server.deadlocks()] == ["usher"]
