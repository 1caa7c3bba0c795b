"""Start and stop a worker.

It fetches its first message when Postgres and Redis answer. When told to stop, it fetches no more,
and gives back the messages that it has not begun; none of their tasks is leased yet. Tasks that run
end, or stop between two steps. Tasks that are still not done shortly before the time is over are
handed back while their threads run on: those find their lease lost in the next transaction.

Platforms and honcho signal the whole process group. A worker process then hears SIGTERM twice, from
them and from Dramatiq's master, and Dramatiq would kill it at the second.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import dramatiq
import structlog
from dramatiq.common import iter_queue
from dramatiq.errors import BrokerConnectionError
from redis import RedisError

from db.connections import transaction
from db.durable import outbox
from db.runtime.settings import settings
from db.runtime.startup import wait_for_postgres, wait_for_redis
from tasks.durable.consumers import BlockingConsumer
from tasks.durable.leases import in_hand, told_to_stop

log = structlog.get_logger()

TIME = 20.0
"""Seconds for running tasks. The Procfile has Dramatiq give up at 22, platforms kill at 30."""
LOOK_EVERY = 0.1


class GracefulStop(dramatiq.Middleware):
    """See above."""

    def __init__(self) -> None:
        self.ready, self.ended = threading.Event(), threading.Event()

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        stop = hear_once(signal.getsignal(signal.SIGTERM))
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        for event in (told_to_stop, self.ready, self.ended):
            event.clear()
        # The wait is not here: Dramatiq's master reacts to no signal until its workers have booted.
        threading.Thread(target=self.wait_for_servers, daemon=True).start()

    def wait_for_servers(self) -> None:
        if wait_for_postgres(told_to_stop):
            wait_for_redis(told_to_stop)
        self.ready.set()

    def after_consumer_thread_boot(self, broker: dramatiq.Broker, thread: Any) -> None:
        self.ready.wait()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        told_to_stop.set()
        threads = list(worker.consumers.values())
        consumers = [t.consumer for t in threads if isinstance(t.consumer, BlockingConsumer)]
        for consumer in consumers:
            consumer.prefetch = 0
        threading.Thread(target=end_waits, args=[consumers], daemon=True).start()
        threading.Thread(target=self.see_off, args=[worker], daemon=True).start()

    def see_off(self, worker: dramatiq.Worker) -> None:
        """Give back messages that were not begun now, and running tasks when the time is over."""
        for _ in range(round(TIME * settings().task_pace / LOOK_EVERY)):
            give_back_messages(worker)
            if self.ended.wait(LOOK_EVERY):
                return
        give_back_tasks()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.ended.set()


def hear_once(handler: Any) -> Callable[[int, FrameType | None], None]:
    """Make a handler that passes on the first of its signals and ignores the others."""
    heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            handler(number, frame)

    return hear


def end_waits(consumers: list[BlockingConsumer]) -> None:
    """End the waits of consumers in Redis; if Redis is away, the waits end by themselves."""
    try:
        for consumer in consumers:
            consumer.interrupt()
    except RedisError as error:
        log.warning("consumers end when they have waited", error=str(error))


def give_back_messages(worker: dramatiq.Worker) -> None:
    """Requeue messages that no thread has begun; if Redis is away, the relay sends new ones."""
    for item in iter_queue(worker.work_queue):  # type: ignore[no-untyped-call]
        try:
            worker.consumers[item.message.queue_name].requeue_messages([item.message])
        except (BrokerConnectionError, RedisError) as error:
            log.warning("message lost, the relay will send another", error=str(error))


def give_back_tasks() -> None:
    """Release the leases of this process."""
    leases = list(in_hand.values())
    ids = [id for lease in leases for id in lease.ids]
    log.warning("tasks handed back at shutdown", task_ids=ids)
    with transaction() as conn:
        outbox.release(conn, ids, [lease.token for lease in leases], "its worker was told to stop")
