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
"""Seconds. Nothing that is asked of Redis blocks there, so a server that is silent is away; without
these a thread would wait for it for good, past any SIGTERM."""


def make_broker() -> RedisBroker:
    """Messages only wake workers up, so none of Dramatiq's own retries: they can lose messages when
    Redis is away. Nor a limit of their age, which compares the clocks of two machines: an old one
    names tasks that are done, and costs one look. Nor does Dramatiq interrupt anybody at the end:
    tasks/durable/shutdown.py hands back what is not done.
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
