"""Consumers wait in Redis: a message wakes one that has room, however it came into its queue.

Waits here last ten minutes where nothing ends them: a test that ends has seen what ended them.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from statistics import median
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import MessageProxy

from db.connections import one
from ops.local.servers import Redis
from ops.local.supervisor import Supervisor
from tests.support.processes import environment_of, process
from tests.support.running import Running
from tests.support.waiting import wait_until

TEN_MINUTES = 600.0
PATIENCE = 30
POLLS_S = 0.1
"""The time between two looks of a consumer that asks again and again, as Usher had it."""
WORKER = "dramatiq tests.support.restless --queues drain payments --processes 1 --threads 1"


@pytest.fixture(autouse=True)
def long_waits(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.durable import consumers

    monkeypatch.setattr(consumers, "LONGEST_WAIT", TEN_MINUTES)


@pytest.fixture
def broker(running: Running) -> Any:
    from tasks.main import broker

    return broker


class Fetching:
    """A consumer of payments in a thread; `got`: what it had, None for a look in vain."""

    def __init__(self, broker: Any, prefetch: int = 1) -> None:
        self.consumer = broker.consume("payments", prefetch)
        self.got: Queue[MessageProxy | None] = Queue()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while self.consumer.prefetch:
            self.got.put(next(self.consumer))

    def is_full(self) -> bool:
        return bool(self.consumer.outstanding_message_count >= self.consumer.prefetch)

    def message(self) -> MessageProxy:
        """The next that it gets."""
        while (message := self.got.get(timeout=PATIENCE)) is None:
            pass
        return message


@contextmanager
def fetching(broker: Any, prefetch: int = 1) -> Iterator[Fetching]:
    one = Fetching(broker, prefetch)
    one.thread.start()
    try:
        yield one
    finally:
        one.consumer.prefetch = 0
        one.consumer.interrupt()
        one.thread.join()
        one.consumer.close()


def send(broker: Any, **options: Any) -> None:
    message: dramatiq.Message[None] = dramatiq.Message("payments", "advance", ([],), {}, {})
    broker.enqueue(message, **options)


def waiting(broker: Any, what: str = "payments") -> int:
    return int(broker.client.llen(f"{broker.namespace}:{what}"))


def blocked(broker: Any) -> int:
    """How many consumers wait in Redis."""
    clients, db = broker.client.client_list(), broker.client.client_info()["db"]
    return sum("b" in client["flags"] and int(client["db"]) == db for client in clients)


def wait_for_blocked(broker: Any, number: int) -> None:
    wait_until(lambda: blocked(broker) == number, PATIENCE)


def test_of_two_the_one_with_room_is_woken(broker: Any) -> None:
    with fetching(broker) as full, fetching(broker) as free:
        wait_for_blocked(broker, 2)
        send(broker)
        wait_until(lambda: full.is_full() or free.is_full())
        if free.is_full():
            full, free = free, full
        full.message()
        assert full.got.get(timeout=PATIENCE) is None, "it looks without taking an arrival"
        send(broker)
        free.consumer.ack(free.message())
        wait_for_blocked(broker, 1)
        assert {full.got.get() for _ in range(full.got.qsize())} <= {None}


def test_a_full_consumer_takes_no_arrival(broker: Any) -> None:
    with fetching(broker) as full:
        send(broker)
        full.message()
        send(broker)
        for _ in range(3):
            assert full.got.get(timeout=PATIENCE) is None
        assert waiting(broker) == waiting(broker, "payments.arrivals") == 1
        with fetching(broker) as free:
            free.message()


def test_a_message_wakes_one_consumer(broker: Any) -> None:
    with fetching(broker, 2) as first, fetching(broker, 2) as second:
        assert (first.got.get(timeout=PATIENCE), second.got.get(timeout=PATIENCE)) == (None, None)
        wait_for_blocked(broker, 2)
        send(broker)
        wait_until(lambda: not (first.got.empty() and second.got.empty()))
        wait_for_blocked(broker, 2)
        assert first.got.qsize() + second.got.qsize() == 1
        assert waiting(broker) == waiting(broker, "payments.arrivals") == 0


def test_there_is_an_arrival_for_each_message_and_none_besides(broker: Any) -> None:
    for number in (1, 2, 3):
        send(broker)
        assert waiting(broker, "payments.arrivals") == number
    consumer = broker.consume("payments", 2)
    taken = [next(consumer), next(consumer)]
    assert waiting(broker, "payments.arrivals") == 1
    consumer.requeue(taken)
    assert waiting(broker, "payments.arrivals") == waiting(broker) == 3
    broker.flush("payments")
    assert waiting(broker, "payments.arrivals") == 0
    consumer.close()


def test_what_is_given_back_wakes_another(broker: Any) -> None:
    first = broker.consume("payments", 1)
    send(broker)
    message = next(first)
    with fetching(broker) as second:
        wait_for_blocked(broker, 1)
        first.requeue([message])
        assert second.message().message_id == message.message_id
    first.close()


def test_what_a_dead_worker_had_is_found(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dramatiq's maintenance puts it back, in a command of another consumer."""
    send(broker)
    with monkeypatch.context() as other:
        other.setattr(broker, "broker_id", "dead")
        dead = broker.consume("payments", 1)
        next(dead)
    monkeypatch.setattr(broker, "heartbeat_timeout", -1)
    monkeypatch.setattr(broker, "maintenance_chance", 10**6)
    broker.do_qsize("payments")
    assert waiting(broker, "payments.arrivals") == 1
    with fetching(broker) as other_one:
        other_one.message()
    dead.close()


def test_a_queue_that_is_longer_than_the_room_is_emptied(broker: Any) -> None:
    for _ in range(7):
        send(broker)
    with fetching(broker, 2) as slow:
        for _ in range(7):
            slow.consumer.ack(slow.message())
        wait_for_blocked(broker, 1)
    assert waiting(broker) == waiting(broker, "payments.msgs") == 0


def test_a_consumer_that_is_told_to_stop_passes_an_arrival_on(broker: Any) -> None:
    with fetching(broker) as first:
        wait_for_blocked(broker, 1)
        first.consumer.prefetch = 0
        send(broker)
        first.thread.join(PATIENCE)
        assert waiting(broker) == waiting(broker, "payments.arrivals") == 1
        with fetching(broker) as second:
            second.message()


def test_a_lost_arrival_costs_no_more_than_the_longest_wait(
    broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.durable import consumers

    monkeypatch.setattr(consumers, "LONGEST_WAIT", 0.2)
    with fetching(broker) as one:
        wait_for_blocked(broker, 1)
        with broker.client.pipeline() as pipe:
            pipe.hset(f"{broker.namespace}:payments.msgs", "1", encoded("1"))
            pipe.rpush(f"{broker.namespace}:payments", "1")
            pipe.execute()
        one.message()


def encoded(id: str) -> bytes:
    """A message as another version of Dramatiq's script leaves it, without an arrival."""
    message: dramatiq.Message[None] = dramatiq.Message(
        "payments", "advance", ([],), {}, {"redis_message_id": id}
    )
    return message.encode()


def test_a_delayed_message_comes_when_its_time_has_come(running: Running, broker: Any) -> None:
    running.sale.join("alice", 2, 1)
    with working(broker):
        wait_until(lambda: blocked(broker) >= 2, PATIENCE)
        broker.enqueue(drain_message(), delay=300)
        wait_until(lambda: running.conn.execute("select from bookings").fetchall(), PATIENCE)


def drain_message() -> Any:
    from tasks.main import drain

    return drain.message()


@contextmanager
def working(broker: Any) -> Iterator[dramatiq.Worker]:
    """A worker without a relay. That it can be stopped shows that its waits were ended."""
    worker = dramatiq.Worker(broker, worker_timeout=20, worker_threads=2)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.middleware[:] = [
            one for one in broker.middleware if type(one).__name__ != "_WorkerMiddleware"
        ]


@pytest.mark.processes
def test_redis_is_lost_while_consumers_wait(
    running: Running, broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    with Redis(tmp_path / "redis") as server:
        own = redis.Redis.from_url(server.url)
        monkeypatch.setattr(broker, "client", own)
        monkeypatch.setattr(broker, "url", server.url)
        scripts = {name: own.register_script(s.script) for name, s in broker.scripts.items()}
        monkeypatch.setattr(broker, "scripts", scripts)
        with working(broker) as worker:
            wait_for_blocked(broker, len(worker.consumers))
            server.kill()
            server.start()
            running.sale.join("alice", 2, 1)
            broker.enqueue(drain_message())
            wait_until(lambda: running.conn.execute("select from bookings").fetchall(), PATIENCE)
            wait_for_blocked(broker, len(worker.consumers))


@pytest.mark.processes
def test_a_worker_that_waits_ends_when_told(
    running: Running, broker: Any, configured: dict[str, str], tmp_path: Path
) -> None:
    env = environment_of(configured) | {"LONGEST_WAIT": str(TEN_MINUTES)}
    with process(WORKER, env, tmp_path / "log") as worker:
        wait_for_blocked(broker, 4)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0, (tmp_path / "log").read_text()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("idle_s", "longest_wait"),
    [(0, TEN_MINUTES), pytest.param(90, 2.0, marks=[pytest.mark.system, pytest.mark.timeout(400)])],
)
def test_a_message_after_idle_time_is_taken_beside_a_full_worker(
    running: Running, broker: Any, configured: dict[str, str], tmp_path: Path, idle_s: int,
    longest_wait: float,
) -> None:  # fmt: skip
    env = environment_of(configured | {"TASK_PACE": "1", "dramatiq_queue_prefetch": "1"})
    env["LONGEST_WAIT"] = str(longest_wait)
    with Supervisor(env, tmp_path) as supervisor:
        supervisor.start("worker", WORKER, count=2)
        wait_for_blocked(broker, 8)
        assert time_to_take(running, broker, "wait") < PATIENCE
        wait_until(lambda: running.conn.execute("select from audit_log").fetchall(), PATIENCE)
        time.sleep(idle_s)
        times = [time_to_take(running, broker, "pass") for _ in range(5)]
    assert median(times) < POLLS_S, times


def time_to_take(running: Running, broker: Any, how: str) -> float:
    """Seconds until a worker has fetched the message of a new task. Others have ended before."""
    wait_for_blocked(broker, 7 if running.tasks("restless") else 8)
    add = "select enqueue('restless', 'payments', null, jsonb_build_object('how', %s::text)) as id"
    id = one(running.conn.execute(add, [how]))["id"]
    message: dramatiq.Message[None] = dramatiq.Message("payments", "restless", ([id],), {}, {})
    start = time.monotonic()
    broker.enqueue(message)
    while waiting(broker):
        assert time.monotonic() < start + PATIENCE
        time.sleep(0.001)
    return time.monotonic() - start
