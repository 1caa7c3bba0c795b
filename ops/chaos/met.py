"""Count how often a mutant did what its guard would have prevented (ops/chaos/mutants.py).

A mutant's Python calls met() or again(); its SQL calls nextval('met'), which counts through
rollbacks. A campaign adds the sum to its result. Without a mutant none of this is used.
"""

import os
from pathlib import Path
from typing import Any

import psycopg

from db.connections import Conn, one

VARIABLE = "MUTANT_MET"
"""The folder that mutants write to."""


def met() -> None:
    """The guard would have acted here."""
    _write("met", "1")


def again(what: str) -> None:
    """Something was done; the guard would have acted if it had been done before."""
    _write("again", what)


def _write(name: str, line: str) -> None:
    with (Path(os.environ[VARIABLE]) / name).open("a") as file:
        file.write(line + "\n")


def counted(conn: Conn) -> dict[str, Any]:
    """{met: how often}, of a mutant's campaign."""
    if VARIABLE not in os.environ:
        return {}
    folder = Path(os.environ[VARIABLE])
    times, things = _lines(folder / "met"), _lines(folder / "again")
    try:
        in_sql = one(conn.execute("SELECT last_value, is_called FROM met"))
    except psycopg.errors.UndefinedTable:
        in_sql = {"last_value": 0, "is_called": False}
    by_sql = in_sql["last_value"] if in_sql["is_called"] else 0
    return {"met": len(times) + len(things) - len(set(things)) + by_sql}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
