"""This checkout beside a commit: each row's better direction, its limit, and what fails."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.bench.compare import Compared, table, worse_by
from ops.bench.measure import Better
from ops.local.supervisor import ROOT


def row(value: float, better: Better = "higher") -> dict[str, Any]:
    return {"value": value, "unit": "things", "better": better, "reference_value": 4, "cpu_ms": 1}


@pytest.mark.parametrize(
    ("better", "old", "new", "worse"),
    [
        ("higher", 100, 90, 0.1),
        ("higher", 100, 110, -0.1),
        ("lower", 100, 110, 0.1),
        ("lower", 100, 90, -0.1),
        ("nearer", 4, 4.4, 0.1),
        ("nearer", 4, 3.6, 0.1),
        ("nearer", 3, 4, -0.25),
    ],
)
def test_each_direction_has_its_worse(better: Better, old: float, new: float, worse: float) -> None:
    assert worse_by(row(old), row(new, better)) == pytest.approx(worse)


def test_the_median_of_the_pairs_counts() -> None:
    compared = Compared("drain", [row(100)] * 3, [row(10), row(93), row(93)])
    assert compared.worse_percent == 7
    assert compared.outcome(limit_percent=8) == "good"
    assert compared.outcome(limit_percent=6) == "worse"


def test_an_error_is_said_with_its_version() -> None:
    old = Compared("drain", [], [row(9)], {"old": "f459e12 ends with: KeyError"}).as_json(8)
    new = Compared("queue", [row(9)], [], {"new": "this ends with: KeyError"}).as_json(8)
    assert (old["outcome"], new["outcome"]) == ("not comparable", "fails")
    said = table({"commit": "f459e12", "rows": [old, new]}).splitlines()
    assert said[-2].endswith("not comparable; f459e12 ends with: KeyError")
    assert said[-1].endswith("fails; this ends with: KeyError")


@pytest.mark.processes
@pytest.mark.system
@pytest.mark.timeout(300)
def test_a_checkout_is_compared_with_its_own_commit(tmp_path: Path) -> None:
    out = tmp_path / "compare.json"
    asked = ["HEAD", "--smallest", "--pairs", "1", "--rows", "queue.fairness", "--out", str(out)]
    asked += ["--limit", "1000"]
    command = [sys.executable, "-m", "ops.bench", "compare", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(out.read_text())["rows"]
    assert (found["outcome"], found["better"], found["errors"]) == ("good", "nearer", [])
    assert found["old"] > 0 and found["new"] > 0 and len(found["pairs"]) == 1
    assert "queue.fairness 1/1" in done.stdout
