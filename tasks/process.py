"""How the processes that loop on their own begin and end."""

import signal
import threading
from collections.abc import Callable

from db.logs import configure_logs


def run_until_stopped(name: str, run: Callable[[threading.Event], None]) -> None:
    """Run with an event that is set by SIGTERM or Ctrl-C."""
    configure_logs(name)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)
