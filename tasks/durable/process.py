"""Start and stop the processes that run a loop of their own."""

import signal
import threading
from collections.abc import Callable

from db.runtime.logs import configure_logs
from db.runtime.startup import wait_for_postgres, wait_for_redis


def run_until_stopped(
    name: str, run: Callable[[threading.Event], None], *, redis: bool = False
) -> None:
    """Wait for Postgres (and Redis, with `redis`), then run with an event that SIGTERM or Ctrl-C
    sets."""
    configure_logs(name)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if wait_for_postgres(stop) and (not redis or wait_for_redis(stop)):
        run(stop)
