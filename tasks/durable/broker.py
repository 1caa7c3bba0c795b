"""The broker: Dramatiq on Redis, with our middleware."""

import dramatiq
from dramatiq.middleware import Middleware, TimeLimit

from db.runtime.settings import settings
from tasks.durable.consumers import BlockingBroker
from tasks.durable.metrics import SharedPrometheus
from tasks.durable.middleware import DurableTasks
from tasks.durable.quarantine import quarantine
from tasks.durable.shutdown import GracefulStop


def make_broker() -> BlockingBroker:
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
    return BlockingBroker(settings().redis_url, middleware)


broker = make_broker()
dramatiq.set_broker(broker)
