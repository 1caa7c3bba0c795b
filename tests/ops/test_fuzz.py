"""The campaign of made-up requests: how it is divided, and when it fails."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ops.fuzz.shares import divide
from ops.fuzz.tally import ENOUGH, SERVER_ERROR, ZEROS, Failure, Tally, summary, tell
from ops.local.supervisor import ROOT

OPERATION = "GET /v1/me/bookings"


def tally_of(successes: int = ENOUGH) -> Tally:
    tally = Tally()
    tally.statuses[OPERATION] = Counter({200: successes, 401: 3})
    return tally


def judge(tally: Tally, reasons: dict[str, str] | None = None) -> list[str]:
    """The figures that are not 0 but have to be."""
    result = summary(tally, [OPERATION], reasons or {}, seed=1)
    return [name for name in ZEROS if result[name]]


def test_a_run_without_failures_passes() -> None:
    assert judge(tally_of()) == []


def test_an_invariant_that_does_not_hold_fails_the_run() -> None:
    tally = tally_of()
    tally.violations.append("seat_sold_twice (1 rows): a seat has two tickets")
    assert judge(tally) == ["violations"]
    assert any("seat_sold_twice" in line for line in tell(tally, [OPERATION], {}))


def test_a_failed_check_fails_the_run_and_is_told_with_its_request() -> None:
    tally = tally_of()
    curl = "curl -X GET http://localhost/v1/me"
    failure = Failure(OPERATION, SERVER_ERROR, "Server error", "500", "fuzzing", 500, curl, "{}")
    tally.failures += [failure, failure]
    assert judge(tally) == ["server_errors"]
    told = list(tell(tally, [OPERATION], {}))
    assert f"{OPERATION}: Server error ({SERVER_ERROR}), 2 times" in told
    assert f"    {curl}" in told


def test_an_operation_that_seldom_succeeds_fails_the_run_unless_it_is_excused() -> None:
    tally = tally_of(successes=ENOUGH - 1)
    assert judge(tally) == ["operations_never_2xx"]
    assert list(tell(tally, [OPERATION], {})) == [
        f"{OPERATION}: answered 2xx {ENOUGH - 1} times: 200: {ENOUGH - 1}, 401: 3"
    ]
    assert judge(tally, {OPERATION: "the live process serves it"}) == []


def test_figures_of_processes_are_added() -> None:
    whole = tally_of()
    whole.add(tally_of())
    assert whole.cases == 2 * (ENOUGH + 3)
    assert whole.successes(OPERATION) == 2 * ENOUGH


def test_each_operation_is_sent_by_one_process() -> None:
    operations = [f"GET /{number}" for number in range(7)]
    parts = divide(operations, 3)
    assert sorted(sum(parts, ())) == operations
    assert {len(part) for part in parts} == {2, 3}


@pytest.mark.system
@pytest.mark.processes
@pytest.mark.timeout(300)
def test_a_slice_sends_one_operation_and_writes_what_became_of_it(tmp_path: Path) -> None:
    asked = ["--only", OPERATION, "--seed", "3", "--processes", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "ops.fuzz", *asked],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "fuzz.json").read_text())
    assert result["operations"] == 1
    assert result["cases"] > 50
    assert f"`{OPERATION}`" in (tmp_path / "fuzz.md").read_text()
