"""gunicorn's settings; WEB_CONCURRENCY (processes, default 1) and PORT are read by gunicorn itself.

A thread reads its request itself, however slowly it comes: a proxy that buffers requests must stand
in front (ops/docs/running.md).

The app is loaded in each worker, after the fork, so that no connection is ever shared.
"""

from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from db.runtime.settings import settings
from db.runtime.startup import say_if_postgres_is_away

worker_class = "gthread"
threads = 8
preload_app = False
keepalive = 30
timeout = 60  # a plan of 80,000 seats takes seconds
graceful_timeout = 25  # platforms kill after 30 s
accesslog = None  # every request has a line of ours (web/support/tracing.py)
limit_request_line = 4094
limit_request_field_size = 8190


def post_worker_init(worker: Any) -> None:
    """It answers at once: 503 with Retry-After until Postgres is there."""
    say_if_postgres_is_away()


def child_exit(server: Any, worker: Any) -> None:
    """The gauges of a process end with it."""
    if settings().prometheus_multiproc_dir:
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
