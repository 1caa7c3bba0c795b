"""gunicorn's settings. gunicorn itself reads WEB_CONCURRENCY (processes, default 1) and PORT.

A slow client keeps a thread busy while its request is read. So a proxy that buffers requests must
be in front (ops/docs/running.md).

The app is loaded in each worker after the fork, so that connections are never shared.
"""

from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from db.runtime.settings import settings
from db.runtime.startup import say_if_postgres_is_away

worker_class = "web.worker.Worker"  # gthread
threads = 8
preload_app = False
keepalive = 30
timeout = 60  # opening an event of 80,000 seats takes seconds
graceful_timeout = 25  # platforms kill after 30 s
accesslog = None  # web/support/tracing.py logs every request
limit_request_line = 4094
limit_request_field_size = 8190


def post_worker_init(worker: Any) -> None:
    """Serve at once: the answers are 503 with Retry-After until Postgres can be reached."""
    say_if_postgres_is_away()


def child_exit(server: Any, worker: Any) -> None:
    """Remove the gauges of a process that has ended."""
    if settings().prometheus_multiproc_dir:
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
