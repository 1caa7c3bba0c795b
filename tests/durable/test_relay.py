"""The relay: everything that is due is sent, not too much of it, and again until it is done."""

import threading
from typing import Any

import dramatiq
import pytest
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from db.connections import CalledInTransaction, one, transaction
from db.runtime.settings import settings
from tests.support.running import Running
from tests.support.theatre import build_theatre
from tests.support.waiting import wait_until

SHOW_PLANS = """
load 'auto_explain'; set auto_explain.log_min_duration = 0; set client_min_messages = log;
set enable_seqscan = off
"""


def add(running: Running, number: int, actor: str = "send_email", queue: str = "mail") -> None:
    query = "select enqueue(%s, %s, null, '{}', null) from generate_series(1, %s)"
    running.conn.execute(query, [actor, queue, number])


def waiting(queue: str = "mail") -> int:
    from tasks.relay import waiting

    return waiting(queue)


def sent_ids() -> list[int]:
    """What is named by the messages in Redis."""
    from tasks.main import broker

    raw: Any = broker.client.hvals(f"{broker.namespace}:mail.msgs")
    return sorted(id for data in raw for id in dramatiq.Message.decode(data).args[0])


@pytest.fixture
def usual_pace(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is sent again after 15 s or more: no machine is so busy in a test."""
    monkeypatch.setenv("TASK_PACE", "1")
    settings.cache_clear()


@pytest.mark.usefixtures("usual_pace")
def test_each_due_task_is_named_once(running: Running) -> None:
    from tasks.relay import relay_once

    add(running, 45)
    relay_once()
    assert sent_ids() == sorted(task["id"] for task in running.tasks("send_email"))
    assert waiting() == 3, "twenty to a message"
    relay_once()
    assert waiting() == 3, "not again at once"


def test_what_is_not_done_is_sent_again_at_growing_distances(running: Running) -> None:
    from tasks.relay import relay_once

    add(running, 1)
    hasten = "update outbox set resend_at = clock_timestamp() returning resend_at as since"
    distances = "select extract(epoch from resend_at - %s) as from_before, extract(epoch from"
    distances += " resend_at - clock_timestamp()) as from_after from outbox"
    for expected in (0.3, 0.6, 1.2, 2.4, 4.8, 6, 6):  # 15 s doubling to 5 min, at the tests' pace
        (before,) = one(running.conn.execute(hasten)).values()
        relay_once()
        row = one(running.conn.execute(distances, [before]))
        assert row["from_after"] <= expected <= row["from_before"]
    assert waiting() == 7


def test_what_is_due_later_is_left(running: Running) -> None:
    from tasks.relay import relay_once

    add(running, 1)
    running.conn.execute("update outbox set resend_at = now() + interval '1 s'")
    relay_once()
    assert waiting() == 0


def test_the_queue_is_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import relay

    monkeypatch.setattr(relay, "OUTSTANDING", 10)
    add(running, 40, "refund", "payments")
    for _ in range(3):
        relay.relay_once()
    assert waiting("payments") == 10


@pytest.mark.usefixtures("usual_pace")
def test_two_relays_send_each_task_once(running: Running) -> None:
    from tasks.relay import relay_once

    add(running, 400)
    barrier = threading.Barrier(2)

    def relay() -> None:
        barrier.wait()
        relay_once()

    relays = [threading.Thread(target=relay) for _ in range(2)]
    for thread in relays:
        thread.start()
    for thread in relays:
        thread.join()
    relay_once()  # what one passed over, because the other had it locked
    assert sent_ids() == sorted(task["id"] for task in running.tasks("send_email"))


def test_a_task_of_an_unknown_actor_holds_nobody_up(running: Running) -> None:
    """While versions change, one may write what the other does not know."""
    from tasks.relay import relay_once

    add(running, 1, actor="of_tomorrow")
    add(running, 1)
    with structlog.testing.capture_logs() as logs:
        relay_once()
    assert sent_ids() == [task["id"] for task in running.tasks("send_email")]
    assert [line["actor"] for line in logs] == ["of_tomorrow"]
    assert len(running.tasks("of_tomorrow")) == 1


def test_nothing_is_taken_while_redis_is_away(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import main, relay

    nobody: Any = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    add(running, 1)
    with monkeypatch.context() as patch:
        patch.setattr(main.broker, "client", nobody)
        with pytest.raises(redis.ConnectionError):
            relay.relay_once()
    assert running.tasks("send_email")[0]["sends"] == 0


def test_redis_is_not_asked_while_nothing_is_due(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty looks a second cost what they ask."""
    from tasks import main, relay

    add(running, 1)
    running.conn.execute("update outbox set resend_at = now() + interval '1 min'")
    nobody: Any = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(main.broker, "client", nobody)
    relay.relay_once()
    running.conn.execute("update outbox set resend_at = now()")
    with pytest.raises(redis.ConnectionError):
        relay.relay_once()


def test_queues_with_a_due_task_are_found(running: Running) -> None:
    from db.durable import outbox

    every = ["payments", "mail", "maintenance"]
    assert outbox.list_due_queues(running.conn, every) == []
    for queue, actor in (("maintenance", "purge"), ("payments", "refund")):
        add(running, 2, actor, queue)
    assert outbox.list_due_queues(running.conn, every) == ["payments", "maintenance"]
    running.conn.execute("update outbox set priority = 80, resend_at = now() + interval '1 min'")
    assert outbox.list_due_queues(running.conn, every) == []
    running.conn.execute("update outbox set resend_at = now() where queue = 'maintenance'")
    assert outbox.list_due_queues(running.conn, every) == ["maintenance"]


def test_no_message_is_sent_inside_a_transaction(running: Running) -> None:
    from tasks import main, relay

    with transaction(), pytest.raises(CalledInTransaction):
        relay.send(main.drain.message())
    assert waiting("drain") == 0


def test_the_relay_looks_when_something_was_committed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not before. Other databases of the server count, too."""
    from tasks import relay

    monkeypatch.setattr(relay, "LONGEST_PAUSE", 60)
    lookout = relay.Lookout()
    wait_until(lambda: not lookout.sees_change())
    with running.conn.transaction():
        add(running, 1)
        wait_until(lambda: not lookout.sees_change())
    assert lookout.sees_change()
    wait_until(lambda: not lookout.sees_change())
    monkeypatch.setattr(relay, "LONGEST_PAUSE", 0)
    assert lookout.sees_change(), "time makes things due"


def test_lanes_with_somebody_waiting_are_drained(running: Running) -> None:
    from tasks.relay import relay_once

    relay_once()
    assert waiting("drain") == 0
    running.sale.join("alice", 2, 1)
    relay_once()
    assert waiting("drain") == 1
    relay_once()
    assert waiting("drain") == 1, "one is enough"
    with running.work():
        wait_until(lambda: running.conn.execute("select from bookings").fetchall())


def test_a_slow_gateway_does_not_make_the_queue_wait_behind_payments(running: Running) -> None:
    """They share a worker's threads: whoever joins is decided as soon as one of them is free."""
    bookings = [running.sale.hold(f"buyer{n}", 1) for n in range(16)]
    running.sandbox.faults(latency_ms=300)
    with running.work(threads=4):
        for booking in bookings:
            running.pay(booking)
        wait_until(lambda: running.sandbox.calls()["total"] >= 4)
        entry = running.sale.join("alice", 2, 1)
        decided = "select from entries where id = %s and booking_id is not null"
        wait_until(lambda: running.conn.execute(decided, [entry]).fetchall())
        paid = [running.booking(booking)["state"] for booking in bookings].count("confirmed")
        assert paid <= 4
        for booking in bookings:
            running.wait_for(booking, "confirmed")


def test_what_is_not_due_costs_nothing(running: Running) -> None:
    """Reminders of tens of thousands of holds wait while the relay looks twenty times a second."""
    from db.durable import outbox

    plans: list[str] = []
    running.conn.add_notice_handler(lambda said: plans.append(said.message_primary or ""))
    running.conn.execute(SHOW_PLANS)
    outbox.list_due_queues(running.conn, ["mail", "payments"])
    outbox.take_due(running.conn, "mail", 100)
    for plan in plans[-2:]:
        (condition,) = (
            line for line in plan.splitlines() if "Index Cond" in line and "resend_at" in line
        )
        assert all(column in condition for column in ("queue", "priority", "resend_at"))
        assert "Filter" not in plan


def test_the_urgent_are_sent_first(running: Running) -> None:
    from db.durable import outbox

    for priority in (80, 50, 20, 50, 80):
        query = "select enqueue('tell_of_postponement', 'mail', null, '{}', null, p_priority => %s)"
        running.conn.execute(query, [priority])
    with transaction() as conn:
        due = outbox.take_due(conn, "mail", 3)
    assert sorted(task.priority for task in due) == [20, 50, 50]


def due_of(running: Running, event: int, number: int) -> None:
    query = "select enqueue('refund', 'payments', null, '{}', %s) from generate_series(1, %s)"
    running.conn.execute(query, [event, number])


def sent_of(running: Running) -> dict[int, int]:
    """By event: its tasks that were sent."""
    query = "select event_id, count(*) as n from outbox where sends > 0 group by event_id"
    return {row["event_id"]: row["n"] for row in running.conn.execute(query)}


@pytest.mark.faults("backlog")
@pytest.mark.usefixtures("usual_pace")
def test_a_crowd_of_one_gateway_account_does_not_stand_before_others(running: Running) -> None:
    from tasks.relay import SHARE, relay_once

    crowded, other = running.sale, build_theatre(running.conn, {1: ["."]})
    other.sell_through_own_account()
    due_of(running, crowded.event, 600)
    due_of(running, other.event, 3)
    relay_once()
    assert sent_of(running) == {crowded.event: SHARE, other.event: 3}
    assert waiting("payments") == SHARE + 3
    relay_once()
    assert sent_of(running)[crowded.event] == SHARE, "none was fetched"
    lease = """
        update outbox set lease_token = gen_random_uuid(), lease_until = now() + interval '1 h'
        where id in (select id from outbox where sends > 0 and event_id = %s limit 10)"""
    running.conn.execute(lease, [crowded.event])
    relay_once()
    assert sent_of(running)[crowded.event] == SHARE + 10, "workers have ten"


@pytest.mark.faults("backlog")
@pytest.mark.usefixtures("usual_pace")
def test_events_of_one_gateway_account_take_turns(running: Running) -> None:
    from tasks.relay import SHARE, relay_once

    crowded, other = running.sale, build_theatre(running.conn, {1: ["."]})
    running.conn.execute("update events set gateway_account_id = %s", [crowded.gateway])
    due_of(running, crowded.event, 600)
    due_of(running, other.event, 40)
    relay_once()
    sent = sent_of(running)
    assert sum(sent.values()) == SHARE
    assert abs(sent[crowded.event] - sent[other.event]) <= 1


@pytest.mark.usefixtures("usual_pace")
def test_tasks_of_no_event_have_no_share(running: Running) -> None:
    from tasks.relay import SHARE, relay_once

    add(running, 2 * SHARE, "refund", "payments")
    relay_once()
    assert waiting("payments") == 2 * SHARE
