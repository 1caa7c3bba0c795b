"""Named points at which a process can be made to die, for tests of what survives.

DIE_AT is a folder. The first process to reach a point after which a file in it is named ("after
capture") removes the file and kills itself there. Unset, a point costs one comparison.

What is done outside Postgres has points of its own; a commit has two by who commits it: "before
task:advance commits", "after buyer commits". Where no actor is set it is the kind of process.
"""

import os
import signal
from pathlib import Path

from db.runtime.settings import settings


def reach(point: str) -> None:
    """Die here, if this point was asked for."""
    if folder := settings().die_at:
        _die_once(Path(folder) / point)


def reach_commit(when: str, actor: str | None) -> None:
    """A transaction is about to commit ("before"), or has ("after")."""
    if settings().die_at:
        who = actor or settings().dyno.partition(".")[0]
        reach(f"{when} {'buyer' if who.startswith('buyer:') else who} commits")


def _die_once(order: Path) -> None:
    try:
        order.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
