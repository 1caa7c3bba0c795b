"""What programs that run for a while say: at once, and something at every second."""

import io
import sys
import time
from collections.abc import Callable

from ops.local.background import Background

SILENCE_S = 1.0
LOOK_S = 0.05


def print_by_lines() -> None:
    """Print each line at once, into files and pipes too, which would get it much later."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


class Progress(Background):
    """Prints lines, and for each second without a new one what is still being done.

    with Progress() as progress:
        progress.say("migrating the database")
    """

    def __init__(self, write: Callable[[str], object] = print) -> None:
        super().__init__("progress")
        self.write = write
        self._doing = ""
        self._began = self._spoke = time.monotonic()

    def say(self, line: str, doing: str | None = None) -> None:
        """Print a line; `doing` is what to repeat while nothing else is said, if not the line."""
        self._doing = line if doing is None else doing
        self._began = self._spoke = time.monotonic()
        self.write(line)

    def run(self) -> None:
        while not self.stopping.wait(LOOK_S):
            now = time.monotonic()
            if self._doing and now - self._spoke >= SILENCE_S:
                self._spoke = now
                self.write(f"  … {self._doing.strip()} ({now - self._began:.0f} s)")
