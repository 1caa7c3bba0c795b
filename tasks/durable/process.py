"""How the processes that loop on their own begin and end."""

import signal
import threading
from collections.abc import Callable

from db.runtime.logs import configure_logs
from db.runtime.startup import wait_for_postgres, wait_for_redis


def run_until_stopped(
    name: str, run: Callable[[threading.Event], None], *, redis: bool = False
) -> None:
    """Run with an event that is set by SIGTERM or Ctrl-C, as soon as Postgres answers; redis: and
    Redis."""
    configure_logs(name)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if wait_for_postgres(stop) and (not redis or wait_for_redis(stop)):
        run(stop)
