"""The bench at its smallest: what it measures is not looked at, only that it measures."""

from dataclasses import replace
from pathlib import Path

import pytest

from ops.bench import archive, drain, queue_fairness, saga
from ops.bench.__main__ import table
from ops.bench.measure import state
from ops.bench.sizes import SMALLEST

TINY = replace(SMALLEST, say=lambda _: None)


@pytest.mark.processes
@pytest.mark.system
def test_a_mixed_queue_sells_the_hall_out_beside_pgbench(tmp_path: Path) -> None:
    row = drain.mixed(replace(TINY, seats=4000), tmp_path)
    assert row.value > 0 and row.reference_value > 0
    assert row.ratio == pytest.approx(row.value / row.reference_value, rel=0.01)
    assert row.cpu_ms and row.reference_cpu_ms


@pytest.mark.processes
@pytest.mark.system
def test_one_drain_serves_by_weight(tmp_path: Path) -> None:
    row = queue_fairness.by_weight(replace(TINY, seats=20_000), tmp_path)
    assert row.reference_value == 4
    assert 3.4 <= row.value <= 4.6  # a turn more or less, of few


@pytest.mark.processes
@pytest.mark.system
def test_workers_overlap_their_calls_to_the_gateway(tmp_path: Path) -> None:
    row = saga.paid_200ms(replace(TINY, bookings=48), tmp_path)
    # One call at a time, and two for each booking; a third where the machine was busy.
    assert 2 < row.reference_value <= 2.5
    assert row.ratio > 2
    assert row.cpu_ms


@pytest.mark.processes
@pytest.mark.system
def test_a_booking_is_measured_beside_old_ones(tmp_path: Path) -> None:
    row = archive.old_bookings(TINY, tmp_path)
    assert row.value > 0 and row.cpu_ratio and "4,000 old bookings" in row.note


def test_the_table_names_what_each_row_is_held_against() -> None:
    row = state("memory", "bytes", "", [(30, 10), (10, 10), (20, 10)], "the row itself", "lower")
    assert (row.value, row.ratio) == (20, 2)
    assert table([row]).endswith("the row itself")
