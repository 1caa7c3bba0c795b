"""ops/local/supervisor.py: processes are started again, killed whole, and stopped in time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.local.servers import free_port
from ops.local.supervisor import LogEcho, ProcessError, Supervisor, read_procfile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor({**os.environ, "GREETING": "hello"}, tmp_path / "log") as running:
        yield running


def test_it_reads_the_procfile() -> None:
    types = read_procfile()
    assert types["release"] == "python -m ops.deploy.migrate"
    assert {"web", "relay", "clock", "worker", "mailer", "keeper"} <= types.keys()


def test_it_gives_processes_their_environment_and_a_log(supervisor: Supervisor) -> None:
    supervisor.start(
        "web", 'NAME=bob sh -c "echo $GREETING \\$NAME \\$PORT; sleep 60"', 2, {"PORT": "8"}
    )
    supervisor.wait_for("web")
    log = supervisor.log_dir / "web.2.log"
    wait_until(lambda: log.read_text() == "hello bob 8\n")


def test_it_starts_a_killed_process_again_without_its_children(supervisor: Supervisor) -> None:
    supervisor.start("worker", "sh -c 'sleep 61 & echo $!; wait'")
    supervisor.wait_for("worker")
    log = supervisor.log_dir / "worker.1.log"
    wait_until(log.read_text)
    (first,), child = supervisor.pids("worker"), int(log.read_text())
    supervisor.kill("worker.1")
    supervisor.wait_for("worker", starts=2)
    assert supervisor.pids("worker") != [first]
    wait_until(lambda: not is_alive(child))


def test_it_signals_only_the_master_unless_the_signal_is_a_kill(supervisor: Supervisor) -> None:
    supervisor.start(
        "clock", """sh -c 'trap "echo one more" USR1; echo up; while :; do sleep 0.05; done'"""
    )
    supervisor.wait_for("clock")
    log = supervisor.log_dir / "clock.1.log"
    wait_until(lambda: "up" in log.read_text())
    supervisor.kill("clock", signal.SIGUSR1)
    wait_until(lambda: "one more" in log.read_text())
    assert supervisor.processes["clock.1"].starts == 1


def test_it_pauses_longer_each_time_before_starting_what_keeps_dying(
    supervisor: Supervisor,
) -> None:
    supervisor.start("relay", "false")
    wait_until(lambda: supervisor.processes["relay.1"].starts >= 3)
    assert supervisor.processes["relay.1"].pause >= 0.8


def test_it_says_what_the_log_says_when_a_process_is_never_ready(supervisor: Supervisor) -> None:
    supervisor.start("web", "sh -c 'echo SECRET_KEY is missing; sleep 60'")
    wait_until(lambda: supervisor.pids("web"))
    wait_until((supervisor.log_dir / "web.1.log").read_text)
    with pytest.raises(ProcessError, match="SECRET_KEY is missing"):
        supervisor.wait_for_http("web", f"http://127.0.0.1:{free_port()}/readyz", timeout=0.2)


def test_stopping_lets_processes_finish(tmp_path: Path) -> None:
    with Supervisor(os.environ, tmp_path) as supervisor:
        supervisor.start(
            "worker",
            "sh -c 'trap \"echo finished; exit\" TERM; echo up; while :; do sleep 0.05; done'",
        )
        supervisor.wait_for("worker")
        wait_until(lambda: "up" in (tmp_path / "worker.1.log").read_text())
    assert (tmp_path / "worker.1.log").read_text().endswith("finished\n")
    assert not supervisor.processes["worker.1"].is_running()


def test_processes_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_KILLED, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout
    child = int(run.stdout.readline())
    run.kill()
    run.communicate()
    wait_until(lambda: not is_alive(child))


RUN_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from ops.local.supervisor import Supervisor
with Supervisor(os.environ, Path(sys.argv[1])) as supervisor:
    supervisor.start("worker", "sleep 62")
    supervisor.wait_for("worker")
    print(*supervisor.pids("worker"), flush=True)
    signal.pause()
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_logs_are_echoed_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    with LogEcho(tmp_path, lines.append) as echo:
        (tmp_path / "web.1.log").write_text("one\ntw")
        echo.copy_new_lines()
        assert lines == ["    web.1 | one\n"]
        (tmp_path / "web.1.log").write_text("one\ntwo\n")
    assert lines[1:] == ["    web.1 | two\n"]
