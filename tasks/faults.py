"""Named points at which a process can be made to die, for tests of what survives.

DIE_AT names a point of the saga ("after capture"); the first process to reach it kills itself
there, as long as the file DIE_MARK does not exist, which it makes. Unset, a point costs one
comparison.
"""

import os
import signal
from pathlib import Path

from db.settings import settings

_point = settings().die_at


def reach(point: str) -> None:
    """Die here, if somebody asked for it."""
    if _point and point == _point:
        _die_once()


def _die_once() -> None:
    try:
        Path(settings().die_mark).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
