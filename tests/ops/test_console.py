"""The console: its commands for API keys, and that it starts as documents print it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ops.console.commands import read_command
from ops.console.local_settings import use_local_settings
from tests.support.programs import Console
from tests.support.world import environment

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
CREATE = ("api-key", "create", "--role", "organiser", "--name", "till")


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
    assert "was revoked" in again.stderr
    assert "no key 9" in console("api-key", "revoke", "9").stderr


def test_a_key_is_rotated_and_can_be_limited(console: Console) -> None:
    limits = ("--dangerous", "--network", "192.0.2.0/24", "--days", "30")
    first = console(*CREATE, "--new-organisation", "Opera", *limits).stdout.strip()
    second = console("api-key", "rotate", "1", "--overlap-hours", "1").stdout.strip()
    listed = console("api-key", "list").stdout
    assert second != first
    assert second[:12] in listed
    assert first[:12] not in listed
    assert "dangerous, 192.0.2.0/24, the key before it is good until" in listed
    assert "expires" in listed


def test_an_organisers_key_belongs_to_an_organisation(console: Console) -> None:
    answer = console(*CREATE)
    assert answer.returncode != 0
    assert "--new-organisation" in answer.stderr
    unknown = console(*CREATE, "--organisation-id", "9")
    assert unknown.returncode != 0
    assert console("api-key", "list").stdout == ""


PRINTED = [
    command
    for page in [ROOT / "README.md", *sorted((ROOT / "ops" / "docs").rglob("*.md"))]
    for command in re.findall(
        r'make console ARGS="([^"]+)"|python -m ops\.console ([a-z][^`\n#|]*)', page.read_text()
    )
    if "…" not in "".join(command)
]


@pytest.mark.faults("First minutes")
@pytest.mark.parametrize("words", ["".join(words) for words in PRINTED])
def test_each_command_that_documents_print_is_understood(words: str) -> None:
    assert read_command(shlex.split(words)).run


@pytest.mark.faults("First minutes")
def test_documents_print_some_commands() -> None:
    assert len(PRINTED) > 5


@pytest.mark.faults("First minutes")
def test_make_and_any_python_start_the_console(database_url: str, redis_url: str) -> None:
    """A Python without Usher's packages passes on to that of .venv."""
    env = {**os.environ, **environment(database_url, redis_url)}
    bare = [sys._base_executable, "-I", "-S", "-c"]  # type: ignore[attr-defined]
    program = "import runpy, sys; sys.path.insert(0, ''); sys.argv = ['', 'api-key', 'list']; "
    program += "runpy.run_module('ops.console', run_name='__main__', alter_sys=False)"
    made = Console(env)(*CREATE, "--new-organisation", "Opera")
    assert made.returncode == 0, made.stderr
    for command in (
        ["make", "-s", "-o", "install", "-o", ".venv/run.stamp", "console", "ARGS=api-key list"],
        [sys.executable, "-m", "ops.console", "api-key", "list"],
        [*bare, program],
    ):
        answer = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        assert "Opera" in answer.stdout


@pytest.mark.faults("First minutes")
def test_the_settings_of_a_running_stack_are_found_unless_others_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://other")
    (tmp_path / "run").mkdir()
    (tmp_path / "env").write_text("DATABASE_URL=postgresql://demo\nMAIL_FROM='A B <a@b.example>'\n")
    use_local_settings(tmp_path)
    assert os.environ["DATABASE_URL"] == "postgresql://other"
    monkeypatch.setenv("MAIL_FROM", "")
    monkeypatch.delenv("DATABASE_URL")
    use_local_settings(tmp_path)
    assert os.environ["DATABASE_URL"] == "postgresql://demo"
    assert os.environ["MAIL_FROM"] == "A B <a@b.example>"
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "run" / "env").write_text("DATABASE_URL=postgresql://run\n")
    use_local_settings(tmp_path)
    assert os.environ["DATABASE_URL"] == "postgresql://run"
