"""The file of what buyers were told, and sentences about what is wrong."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import orjson

T = TypeVar("T")

LISTED = 5


def write_told(results: Path, told: Iterable[object]) -> None:
    """Write dataclasses, one JSON object a line."""
    with results.open("wb") as file:
        file.writelines(orjson.dumps(each) + b"\n" for each in told)


def read_told(results: Path, kind: Callable[..., T]) -> list[T]:
    return [kind(**json.loads(line)) for line in results.read_text().splitlines()]


def some(what: str, cases: list[str]) -> Iterator[str]:
    """One sentence for all cases, with the first few of them; nothing without a case."""
    if cases:
        more = ", ..." if len(cases) > LISTED else ""
        yield f"{len(cases)} {what}: {'; '.join(cases[:LISTED])}{more}"
