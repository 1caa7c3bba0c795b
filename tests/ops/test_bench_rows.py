"""Every row that no other test measures, at its smallest: its figures are not looked at."""

from dataclasses import replace
from pathlib import Path

import pytest

from ops.bench.rows import ALONE, BEFORE_CROWDS, measure
from ops.bench.sizes import SMALLEST

pytestmark = [pytest.mark.processes, pytest.mark.system, pytest.mark.timeout(300)]

ELSEWHERE = {"queue.drain.mixed", "queue.fairness", "saga.paid_200ms", "archive.old_bookings"}
"""In test_bench.py, whose tests look at figures."""
TOGETHER = tuple(BEFORE_CROWDS)
"""They share two queues and a web process."""


@pytest.mark.parametrize(
    "names",
    [TOGETHER, *((name,) for name in ALONE if name not in ELSEWHERE)],
    ids=lambda names: names[0],
)
def test_every_row_measures_something(names: tuple[str, ...], tmp_path: Path) -> None:
    found = list(measure(names, replace(SMALLEST, say=lambda _: None), tmp_path))
    assert tuple(row.name for row in found) == names
    assert all(row.value > 0 and row.reference_value > 0 for row in found)
