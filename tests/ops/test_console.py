"""The console's commands for API keys."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.world import environment

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
CREATE = ("api-key", "create", "--role", "organiser", "--name", "till")


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


def test_a_key_is_made_listed_and_revoked(console: Console) -> None:
    made = console(*CREATE, "--new-organisation", "Opera")
    key = made.stdout.strip()
    assert key.startswith("usk_")
    listed = console("api-key", "list").stdout
    assert "till" in listed
    assert "Opera" in listed
    assert key not in listed
    assert console("api-key", "revoke", "1").returncode == 0
    assert "revoked" in console("api-key", "list").stdout
    again = console("api-key", "revoke", "1")
    assert again.returncode != 0
    assert "no key 1" in again.stderr


def test_an_organisers_key_belongs_to_an_organisation(console: Console) -> None:
    answer = console(*CREATE)
    assert answer.returncode != 0
    assert "--new-organisation" in answer.stderr
    unknown = console(*CREATE, "--organisation-id", "9")
    assert unknown.returncode != 0
    assert console("api-key", "list").stdout == ""
