"""The Makefile: what each target takes, and that nothing else is given in vain."""

import os
import re
import subprocess

import pytest

from ops.local.supervisor import ROOT

pytestmark = [pytest.mark.processes, pytest.mark.faults("First minutes")]
TEXT = (ROOT / "Makefile").read_text()
RECIPES = dict(re.findall(r"^([a-z-]+):[^=\n]*\n((?:\t.*\n)+)", TEXT, re.MULTILINE))


def make(*words: str) -> "subprocess.CompletedProcess[str]":
    # These tests are often run by make itself, whose variables are handed down.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    alone.pop("MFLAGS", None)
    command = ["make", "--dry-run", *words]
    return subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (["demo", "BUYER=5"], "BUYER"),
        (["demo", "buyers=5"], "buyers"),
        (["run", "BUYERS=5"], "BUYERS"),
        (["lint", "ARGS=x"], "ARGS"),
        (["demo", "test", "PLAN=x", "MINUTES=3"], "MINUTES"),
        (["PLAN=hall.json"], "PLAN"),
    ],
)
def test_a_variable_that_a_target_does_not_take_is_refused(words: list[str], unknown: str) -> None:
    answer = make(*words)
    assert answer.returncode != 0
    assert f"does not take {unknown}: it takes" in answer.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "PLAN=hall.json", "BUYERS=5", "ARGS=--seed 3"],
        ["demo", "SEATS=500"],
        ["run", "PORT=8001"],
        ["chaos", "MINUTES=30", "ARGS=--seed 7"],
        ["test", "ARGS=-k 'a b'"],
        ["install", "PYTHON=python3.12"],
        ["help"],
    ],
)
def test_a_variable_that_a_target_takes_is_taken(words: list[str]) -> None:
    answer = make(*words)
    assert answer.returncode == 0, answer.stderr


def test_each_variable_in_a_recipe_is_one_that_its_target_takes() -> None:
    """A new one belongs into the target's line TAKES_..., or it could not be given."""
    for target, recipe in RECIPES.items():
        recipe = recipe.replace("$(DEMO_ARGS)", "$(PLAN) $(SEATS) $(BUYERS) $(ARGS)")
        used = set(re.findall(r"\$\((?:if \$\()?([A-Z]+)\)", recipe)) & {
            "ARGS", "PLAN", "SEATS", "BUYERS", "MINUTES", "PORT", "FORM",
        }  # fmt: skip
        words = [target, *(f"{name}=1" for name in used)]
        assert make(*words).returncode == 0, words
