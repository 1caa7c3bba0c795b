"""Durable tasks: leased by one worker at a time, never lost, never looping.

Tasks of three actors of our own: `probe` does what the test says, `keeper` is never given up, and
`group` takes up to three tasks at a time.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import structlog
from psycopg.types.json import Jsonb

from db.connections import one, pool, transaction
from db.durable import outbox
from db.runtime.errors import NotFound, UsherError
from ops.local.servers import Redis
from tasks.durable.backoff import backoff, describe
from tasks.durable.leases import (
    Lease,
    LeaseLost,
    Policy,
    TryLater,
    policies,
    take_lease,
    worker_name,
)
from tests.support.running import Running
from tests.support.waiting import wait_until

Work = Callable[[Lease], None]


class Broken(UsherError):
    """It does not work, and it will not."""


class Passing(UsherError):
    """It does not work now."""

    permanent = False


class Script:
    """What the actors are to do; `runs` are the leases with which they were called."""

    def __init__(self) -> None:
        self.work: Work = finish
        self.runs: list[Lease] = []

    def run(self, lease: Lease) -> None:
        self.runs.append(lease)
        self.work(lease)


def finish(lease: Lease) -> None:
    with lease.transaction() as conn:
        lease.finish(conn)


script = Script()


@pytest.fixture
def shop(running: Running) -> Running:
    """Running, with the actors of this file; their tasks are in the queue `mail`."""
    from tasks.durable.actors import durable

    if "probe" not in policies:
        for name, policy in {
            "probe": {"failures": 4},
            "keeper": {"failures": 2, "keep": True},
            "group": {"batch": 3},
        }.items():
            declare(durable, name, policy)
    script.__init__()  # type: ignore[misc]
    return running


def declare(durable: Any, name: str, policy: dict[str, Any]) -> None:
    def actor(lease: Lease) -> None:
        script.run(lease)

    actor.__name__ = name
    durable(queue="mail", lease=30, **policy)(actor)


def add(shop: Running, actor: str = "probe", key: str | None = None, **args: Any) -> int:
    query = "select enqueue(%s, 'mail', %s, %s, null)"
    shop.conn.execute(query, [actor, key, Jsonb(args)])
    return int(shop.tasks(actor)[-1]["id"])


def done(shop: Running, *actors: str) -> Callable[[], bool]:
    return lambda: not any(shop.tasks(actor) for actor in actors or ("probe", "keeper", "group"))


def send(actor: str, *ids: int) -> None:
    """A message, as the relay sends it."""
    from tasks.main import broker

    broker.enqueue(broker.get_actor(actor).message(list(ids)))


def test_a_task_is_done_once_and_gone(shop: Running) -> None:
    add(shop, number=7)
    with shop.work():
        wait_until(done(shop))
    (lease,) = script.runs
    assert lease.task.args == {"number": 7}
    assert lease.task.claims == 1


def test_a_message_delivered_many_times_at_once_is_done_once(shop: Running) -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(lease: Lease) -> None:
        started.set()
        go_on.wait(5)
        finish(lease)

    script.work = work
    task = add(shop)
    with shop.work(threads=6):
        for _ in range(20):
            send("probe", task)
        started.wait(5)
        wait_until(lambda: queue_length() == 0)
        go_on.set()
        wait_until(done(shop))
    assert len(script.runs) == 1


def queue_length() -> int:
    from tasks.relay import waiting

    return waiting("mail")


def test_of_two_who_want_a_lease_one_gets_it(shop: Running) -> None:
    task = add(shop)
    got: list[Lease] = []
    barrier = threading.Barrier(8)

    def want() -> None:
        barrier.wait()
        got.append(take_lease([task], policies["probe"]))

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(lease.tasks) for lease in got) == 1


def test_a_lost_lease_rolls_back(shop: Running) -> None:
    task = add(shop)
    late = take_lease([task], policies["probe"])
    shop.conn.execute("update outbox set lease_until = now() - interval '1 s'")
    other = take_lease([task], policies["probe"])
    assert [t.claims for t in other.tasks] == [2]
    with pytest.raises(LeaseLost), late.transaction() as conn:
        conn.execute("insert into audit_log (actor, action) values ('late', 'was here')")
    with other.transaction() as conn:
        other.finish(conn)
    query = "select from audit_log where actor = 'late'"
    assert shop.conn.execute(query).fetchall() == []


def test_a_lease_lost_at_the_end_rolls_the_effect_back(shop: Running) -> None:
    """The row is locked while the effect is written: who comes later waits, and finds nothing."""
    task = add(shop)
    lease = take_lease([task], policies["probe"])
    with lease.transaction() as conn:
        shop.conn.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            shop.conn.execute("update outbox set lease_token = gen_random_uuid()")
        lease.finish(conn)
    assert done(shop)()


def test_a_worker_that_vanished_is_followed_by_another(shop: Running) -> None:
    task = add(shop)
    take_lease([task], policies["probe"])
    with shop.work():
        wait_until(done(shop))
    assert [lease.task.claims for lease in script.runs] == [2]


def test_poison_is_a_dead_letter_after_five_claims(shop: Running) -> None:
    task = add(shop, "probe", poison=True)
    for _ in range(5):
        assert take_lease([task], policies["probe"], alone=True).tasks
        shop.conn.execute("update outbox set lease_until = now() - interval '1 s'")
    with shop.work():
        wait_until(done(shop))
    assert script.runs == []
    (letter,) = shop.dead_letters()
    assert (letter["task_id"], letter["reason"], letter["claims"]) == (task, "poison", 6)
    history = [(entry["kind"], entry["claims"], entry["worker"]) for entry in letter["errors"]]
    assert history == [("died", claims, worker_name()) for claims in (1, 2, 3, 4, 5)]


def test_poison_that_must_come_to_an_end_stays_alive(shop: Running) -> None:
    task = add(shop, "keeper")
    shop.conn.execute("update outbox set claims = 5")
    assert take_lease([task], policies["keeper"], alone=True).tasks == []
    assert [letter["reason"] for letter in shop.dead_letters()] == ["poison"]
    shop.conn.execute("update outbox set run_at = now(), resend_at = now()")
    with shop.work():
        wait_until(done(shop))
    assert len(script.runs) == 1


def test_poison_takes_no_neighbours_with_it(shop: Running) -> None:
    """A task over which a worker may have died gets messages of its own."""
    from tasks.relay import messages

    ids = [add(shop, "group") for _ in range(3)]
    take_lease(ids, policies["group"])
    fresh = [add(shop, "group") for _ in range(4)]
    with transaction() as conn:
        due = outbox.take_due(conn, "mail", 100)
    sizes = [message.args[0] for message in messages(due)]
    assert sorted(sizes) == sorted([[id] for id in ids] + [fresh[:3], fresh[3:]])


def test_a_permanent_error_makes_a_dead_letter_at_once(shop: Running) -> None:
    def work(lease: Lease) -> None:
        raise NotFound

    script.work = work
    task = add(shop, booking_id=str(uuid4()))
    with shop.work():
        wait_until(done(shop))
    (letter,) = shop.dead_letters()
    assert letter["task_id"] == task
    assert letter["reason"].startswith("NotFound: ")
    assert str(letter["booking_id"]) == letter["args"]["booking_id"]
    assert len(script.runs) == 1


def test_a_passing_error_is_tried_again_until_it_is_too_often(shop: Running) -> None:
    def work(lease: Lease) -> None:
        raise ZeroDivisionError(f"time {len(script.runs)}")

    script.work = work
    add(shop)
    with shop.work():
        wait_until(done(shop))
    (letter,) = shop.dead_letters()
    assert len(script.runs) == 4
    assert [(entry["kind"], entry["error"]) for entry in letter["errors"]] == [
        ("failed", f"ZeroDivisionError: time {n}") for n in (1, 2, 3, 4)
    ]
    assert {entry["worker"] for entry in letter["errors"]} == {worker_name()}
    assert letter["failures"] == 4
    assert letter["reason"] == "ZeroDivisionError: time 4"


def test_what_must_come_to_an_end_goes_on_behind_its_dead_letter(shop: Running) -> None:
    def work(lease: Lease) -> None:
        if len(script.runs) < 5:
            raise Broken
        finish(lease)

    script.work = work
    add(shop, "keeper")
    with shop.work():
        wait_until(lambda: len(script.runs) == 4)
        (letter,) = shop.dead_letters()
        assert letter["resolution"] is None
        wait_until(done(shop))
    assert len(script.runs) == 5
    (letter,) = shop.dead_letters()
    assert letter["resolution"] == "done after all"


def test_later_is_no_failure(shop: Running) -> None:
    def work(lease: Lease) -> None:
        if len(script.runs) < 9:
            raise TryLater(1, "not yet")
        finish(lease)

    script.work = work
    add(shop)
    with shop.work():
        wait_until(done(shop))
    assert shop.dead_letters() == []
    assert {(lease.task.failures, lease.task.claims) for lease in script.runs} == {(0, 1)}


def test_a_failure_is_due_again_after_its_delay(shop: Running) -> None:
    task = add(shop)
    lease = take_lease([task], policies["probe"])
    with transaction() as conn:
        outbox.retry(conn, [task], lease.token, "why", 1000, counts=True)
    query = "select extract(epoch from least(run_at, resend_at) - clock_timestamp()) from outbox"
    (wait,) = one(shop.conn.execute(query)).values()
    assert 19 < wait <= 20
    assert take_lease([task], policies["probe"]).tasks == []


def test_backoff_is_exponential_bounded_and_full_of_jitter() -> None:
    policy = Policy("any", base_delay=1.0, longest_delay=100)
    for failures, longest in ((1, 2), (3, 8), (6, 64), (7, 100), (5000, 100)):
        delays = [backoff(policy, failures) for _ in range(300)]
        assert 0 <= min(delays) < longest * 0.1
        assert longest * 0.9 < max(delays) <= longest


def test_errors_are_told_without_addresses() -> None:
    refused = "550 <alice.o'neil+x@mail.example>: no such user (bob@example.org)"
    told = describe(Passing(refused))
    assert told.startswith("Passing: 550 <")
    assert told.endswith(": no such user (…@…)")
    assert "example" not in told


def test_each_task_of_a_message_fails_by_its_own_history(shop: Running) -> None:
    """One at its end and one at its beginning: only one of them is given up."""

    def work(lease: Lease) -> None:
        with lease.transaction() as conn:
            outbox.finish(conn, [good], lease.token)
        raise Passing

    script.work = work
    old, young, good = (add(shop, "group") for _ in range(3))
    shop.conn.execute("update outbox set failures = 11 where id = %s", [old])
    send("group", old, young, good)
    from tasks.main import broker

    with workers(broker):
        wait_until(shop.dead_letters)
        wait_until(lambda: [t["failures"] for t in shop.tasks("group")] == [1])
    assert [letter["task_id"] for letter in shop.dead_letters()] == [old]
    assert [task["id"] for task in shop.tasks("group")] == [young]


@contextmanager
def workers(broker: Any) -> Iterator[None]:
    """Workers without a relay."""
    import dramatiq

    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=2)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def test_a_batch_is_one_call(shop: Running) -> None:
    for _ in range(7):
        add(shop, "group")
    with shop.work():
        wait_until(done(shop))
    assert sorted(len(lease.tasks) for lease in script.runs) == [1, 3, 3]


def test_one_of_a_kind(shop: Running) -> None:
    for _ in range(3):
        add(shop, key="only")
    assert len(shop.tasks("probe")) == 1
    with shop.work():
        wait_until(done(shop))
    assert len(script.runs) == 1


def test_one_that_is_told_again_while_it_runs_runs_again(shop: Running) -> None:
    def work(lease: Lease) -> None:
        if len(script.runs) == 1:
            add(shop, key="only")
        finish(lease)

    script.work = work
    add(shop, key="only")
    with shop.work():
        wait_until(lambda: len(script.runs) == 2 and done(shop)())


def test_one_that_is_told_again_while_a_worker_has_it_gets_no_message_meanwhile(
    shop: Running,
) -> None:
    """The message would find the task leased."""
    task = add(shop, key="only")
    due = "select resend_at <= clock_timestamp() as due from outbox"
    lease = take_lease([task], policies["probe"])
    shop.conn.execute("update outbox set resend_at = clock_timestamp() + interval '15 s'")
    add(shop, key="only")
    assert not one(shop.conn.execute(due))["due"]
    finish(lease)
    assert one(shop.conn.execute(due))["due"]


def test_being_told_again_ends_a_wait(shop: Running) -> None:
    """A notification need not wait until a backoff is over."""
    task = add(shop, key="only")
    lease = take_lease([task], policies["probe"])
    with transaction() as conn:
        outbox.retry(conn, [task], lease.token, "why", 10**6, counts=True)
    add(shop, key="only")
    with shop.work():
        wait_until(done(shop))


def test_one_that_is_told_again_before_it_begins_to_wait_does_not_wait(shop: Running) -> None:
    """What it looked for came just after its look."""

    def work(lease: Lease) -> None:
        if len(script.runs) == 1:
            add(shop, key="only")
            raise TryLater(10**6, "not yet")
        finish(lease)

    script.work = work
    add(shop, key="only")
    with shop.work():
        wait_until(lambda: len(script.runs) == 2 and done(shop)())


def test_an_enqueue_that_is_not_committed_yet_loses_no_message(shop: Running) -> None:
    """The lease skips the row that it has locked; the relay sends another message afterwards."""
    task = add(shop, key="only")
    with shop.work():
        script.work = finish
        with transaction() as conn:
            conn.execute("select enqueue('probe', 'mail', 'only', '{}', null)")
            send("probe", task)
            wait_until(lambda: queue_length() == 0)
        wait_until(done(shop))


def test_without_postgres_a_message_is_skipped(shop: Running) -> None:
    """Dramatiq would run the actor all the same, on whatever its thread had leased before."""
    from tasks.main import broker

    first, second = add(shop), add(shop)
    with workers(broker), structlog.testing.capture_logs() as logs:
        send("probe", first)
        wait_until(lambda: len(shop.tasks("probe")) == 1)
        shop.conn.execute("alter table outbox rename to away")
        for _ in range(4):
            send("probe", second)
        wait_until(lambda: sum(line["event"] == "lease failed" for line in logs) == 4)
        shop.conn.execute("alter table away rename to outbox")
    assert len(script.runs) == 1
    with shop.work():
        wait_until(done(shop))


def test_connections_that_were_cut_are_replaced(shop: Running) -> None:
    with shop.work():
        add(shop)
        wait_until(done(shop))
        shop.conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        add(shop)
        wait_until(done(shop))


def test_more_threads_than_connections(shop: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for each other; nothing is lost, and nobody holds two."""
    pool().resize(1, 2)
    for _ in range(40):
        add(shop)
    with shop.work(threads=8):
        wait_until(done(shop), 20)
    assert shop.dead_letters() == []


def test_redis_is_flushed_again_and_again(shop: Running) -> None:
    from tasks.main import broker

    for _ in range(30):
        add(shop)
    with shop.work(threads=2):
        while left := len(shop.tasks("probe")):
            broker.client.flushall()
            wait_until(lambda left=left: len(shop.tasks("probe")) <= max(0, left - 5))  # type: ignore[misc]
    assert len(script.runs) == 30


def test_redis_goes_and_comes_back(
    shop: Running, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis as redis_library

    from tasks.main import broker

    with Redis(tmp_path / "redis") as server:
        own = redis_library.Redis.from_url(server.url)
        monkeypatch.setattr(broker, "client", own)
        scripts = {name: own.register_script(s.script) for name, s in broker.scripts.items()}
        monkeypatch.setattr(broker, "scripts", scripts)
        with shop.work():
            add(shop)
            wait_until(done(shop))
            server.kill()
            for _ in range(10):
                add(shop)
            server.start()
            wait_until(done(shop), 30)
    assert len(script.runs) == 11
