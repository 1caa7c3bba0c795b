"""An append-only file of JSON lines: the commands that were run, and the webhooks that arrived.

A line is written before its reply leaves. It survives the death of the process, not of the machine:
there is no fsync.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

NAME = "journal.jsonl"


class Journal:
    """Raises OSError if the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def read(self) -> Iterator[dict[str, Any]]:
        """All whole lines. The rest of a line that was cut off by a crash is removed."""
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        os.ftruncate(self._file, whole)
        for line in data[:whole].splitlines():
            yield orjson.loads(line)

    def write(self, line: dict[str, Any]) -> None:
        os.write(self._file, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def clear(self) -> None:
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)
