"""The settings of a `make run` or `make demo` on this machine, which write them to a file while
they go on."""

import os
import shlex
from pathlib import Path

VAR = Path(__file__).resolve().parents[2] / "var"


def use_local_settings(var: Path = VAR) -> None:
    """Add them to the environment, unless that says which database is meant."""
    if os.environ.get("DATABASE_URL"):
        return
    for path in (var / "run" / "env", var / "env"):
        if path.exists():
            words = shlex.split(path.read_text())
            for name, _, value in (word.partition("=") for word in words):
                os.environ[name] = value
            return
