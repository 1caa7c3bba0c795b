"""Crash points: named places at which a test can make the process die.

DIE_AT is a folder. The first process that reaches a point removes the file of the point's name
("after capture") from the folder and kills itself; or, if the file says `stop`, stops until it is
told to go on (SIGCONT). If DIE_AT is not set, a point costs one
comparison.

Effects outside Postgres have their own points. Each commit has two, named after who commits:
"before task:advance commits", "after buyer commits". Where no actor is set, the name is the kind of
process.
"""

import os
import signal
from pathlib import Path

from db.runtime.settings import settings

STOP = "stop"


def reach(point: str) -> None:
    """Die here, or stop, if this point is wanted."""
    if folder := settings().die_at:
        _obey_once(Path(folder) / point)


def reach_commit(when: str, acting: str | None) -> None:
    """Reach the point before or after a commit; when: "before" or "after"."""
    if settings().die_at:
        who = acting or settings().dyno.partition(".")[0]
        reach(f"{when} {'buyer' if who.startswith('buyer:') else who} commits")


def _obey_once(order: Path) -> None:
    try:
        text = order.read_text()
        order.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGSTOP if text == STOP else signal.SIGKILL)
