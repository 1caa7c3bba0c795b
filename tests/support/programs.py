"""Programs: the console's command, and those of the system that no lock can install."""

import os
import shutil
import subprocess
import sys

import pytest

from ops.local.supervisor import ROOT
from tests.support.world import environment


def need_program(name: str) -> str:
    """The program's path; without it the test is skipped here, and fails where CI is set."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{name} is not installed here: .ci/run says which package has it")
    return path


@pytest.fixture
def console(database_url: str, redis_url: str) -> "Console":
    return Console({**os.environ, **environment(database_url, redis_url)})


class Console:
    """`console("api-key", "list")` runs the command."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ops.console", *words]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True)
