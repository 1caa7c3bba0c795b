"""The broker: Dramatiq on Redis, with our middleware."""

from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, TimeLimit

from db.runtime.settings import settings
from tasks.durable.metrics import SharedPrometheus
from tasks.durable.middleware import DurableTasks
from tasks.durable.quarantine import quarantine
from tasks.durable.shutdown import GracefulStop

TO_NOTICE_LOSS: dict[str, Any] = {
    "socket_connect_timeout": 3,
    "socket_timeout": 5,
    "socket_keepalive": True,
}
"""Seconds. No command that Usher sends blocks in Redis, so a silent server is away. Without these
limits a thread would wait for ever, even after SIGTERM."""


def make_broker() -> RedisBroker:
    """Make the broker without three of Dramatiq's middlewares, since messages only wake workers.

    Retries can lose messages when Redis is away. AgeLimit compares the clocks of two machines; an
    old message names tasks that are done, and costs one query. ShutdownNotifications interrupts
    threads; tasks/durable/shutdown.py hands back the tasks that are not done.
    """
    middleware: list[Middleware] = [
        quarantine,
        TimeLimit(time_limit=300_000),
        DurableTasks(),
        GracefulStop(),
    ]
    if settings().prometheus_multiproc_dir:
        middleware.append(SharedPrometheus())
    client = redis.Redis.from_url(settings().redis_url, **TO_NOTICE_LOSS)
    return RedisBroker(client=client, middleware=middleware)  # type: ignore[no-untyped-call]


broker = make_broker()
dramatiq.set_broker(broker)
