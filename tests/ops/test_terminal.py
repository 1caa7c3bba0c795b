"""What long programs say, and when."""

import subprocess
import sys

import pytest

from ops.local.supervisor import ROOT
from ops.local.terminal import Progress
from tests.support.waiting import wait_until


@pytest.mark.slow
@pytest.mark.faults("First minutes")
def test_a_step_that_takes_long_is_said_again_and_again() -> None:
    said: list[str] = []
    with Progress(said.append) as progress:
        progress.say("migrating the database")
        wait_until(lambda: len(said) >= 3)
        progress.say("  12.0 s  seats 0 free", "waiting for seats that are held")
        wait_until(lambda: "held" in said[-1])
    assert said[:3] == [
        "migrating the database",
        "  … migrating the database (1 s)",
        "  … migrating the database (2 s)",
    ]
    assert said[-1] == "  … waiting for seats that are held (1 s)"


@pytest.mark.processes
@pytest.mark.faults("First minutes")
def test_a_line_is_in_a_pipe_as_soon_as_it_is_printed() -> None:
    program = "from ops.local.terminal import *; print_by_lines(); print('on sale'); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout
        assert child.stdout.readline() == "on sale\n"
        assert child.poll() is None
        child.communicate("\n")
