"""ops/local/stack.py without the Procfile's processes: composed, refused twice, and gone at the
end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests

from ops.local.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "var", {}, say=lambda line: None) as running:
        yield running


def test_it_migrates_and_serves_all_parts(stack: Stack) -> None:
    with psycopg.connect(stack.env["DATABASE_URL"]) as conn:
        assert conn.execute("SELECT max(version) FROM schema_version").fetchone()
    assert requests.get(f"{stack.catcher_url}/count", timeout=5).json()["messages"] == 0
    assert stack.sandbox.calls()["total"] == 0
    assert f"DATABASE_URL={stack.database_url}" in (stack.var_dir / "env").read_text()


def test_a_second_one_in_the_same_place_is_refused(stack: Stack) -> None:
    with pytest.raises(SystemExit, match="in use by another run"):
        Stack(stack.var_dir, {}, say=lambda line: None).__enter__()
    assert requests.get(f"{stack.catcher_url}/readyz", timeout=5).ok


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match="in use by another program"):
            Stack(tmp_path / "var", {}, web_port=port, say=lambda line: None).__enter__()


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(tmp_path: Path, number: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_SIGNAL, tmp_path / "var"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout
    pids = [int(pid) for pid in run.stdout.readline().split()]
    os.kill(run.pid, number)
    run.communicate(timeout=60)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    left = {path.name for path in (tmp_path / "var").iterdir()}
    assert left <= {"lock", "log", "mail", "metrics", "pg.log", "redis.log"}


RUN_UNTIL_SIGNAL = """
import signal, sys
from pathlib import Path
from ops.local.stack import Stack
# Whatever runs in the background of a shell ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
with Stack(Path(sys.argv[1]), {}, say=lambda line: None) as stack:
    catcher, = stack.supervisor.pids("catcher")
    print(stack.postgres.pid, stack.redis.pid, stack.sandbox.process.pid, catcher, flush=True)
    signal.pause()
"""
