"""How a worker begins and ends.

It fetches its first message when Postgres and Redis answer. Told to stop, it takes no more, and
gives back at once those that it has not begun: they cost nothing, since nothing was leased. Tasks
in hand end, or stop between two steps; whatever is still not done when the time is nearly over is
handed back over the heads of its threads, whose transactions find their lease lost.
"""

import threading
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
from tasks.durable.leases import in_hand, told_to_stop

log = structlog.get_logger()

TIME = 20.0
"""Seconds for what is in hand. The Procfile has Dramatiq give up at 22, platforms kill at 30."""
LOOK_EVERY = 0.1


class GracefulStop(dramatiq.Middleware):
    """See above."""

    def __init__(self) -> None:
        self.ready, self.ended = threading.Event(), threading.Event()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        for event in (told_to_stop, self.ready, self.ended):
            event.clear()
        # Not here: Dramatiq's master hears no signal until its workers have booted.
        threading.Thread(target=self.wait_for_servers, daemon=True).start()

    def wait_for_servers(self) -> None:
        if wait_for_postgres(told_to_stop):
            wait_for_redis(told_to_stop)
        self.ready.set()

    def after_consumer_thread_boot(self, broker: dramatiq.Broker, thread: Any) -> None:
        self.ready.wait()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        told_to_stop.set()
        for consumer in list(worker.consumers.values()):
            if consumer.consumer is not None:
                consumer.consumer.prefetch = 0  # type: ignore[attr-defined]
        threading.Thread(target=self.see_off, args=[worker], daemon=True).start()

    def see_off(self, worker: dramatiq.Worker) -> None:
        """Give back what was not begun, now; and what is not done, when the time is over."""
        for _ in range(round(TIME * settings().task_pace / LOOK_EVERY)):
            give_back_messages(worker)
            if self.ended.wait(LOOK_EVERY):
                return
        give_back_tasks()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self.ended.set()


def give_back_messages(worker: dramatiq.Worker) -> None:
    """Those that no thread has begun; where Redis is away, the relay sends others."""
    for item in iter_queue(worker.work_queue):  # type: ignore[no-untyped-call]
        try:
            worker.consumers[item.message.queue_name].requeue_messages([item.message])
        except (BrokerConnectionError, RedisError) as error:
            log.warning("a message is lost, and will be sent again", error=str(error))


def give_back_tasks() -> None:
    """Release the leases of this process."""
    leases = list(in_hand.values())
    ids = [id for lease in leases for id in lease.ids]
    log.warning("tasks are not done in time, and handed back", task_ids=ids)
    with transaction() as conn:
        outbox.release(conn, ids, [lease.token for lease in leases])
