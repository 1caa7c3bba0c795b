"""Run the Procfile's processes on one machine, as a platform does.

    with Supervisor(env, Path("var/log")) as supervisor:
        supervisor.start("web", "gunicorn ...")     # becomes web.1, logs to var/log/web.1.log
        supervisor.start("worker", "...", count=2)  # worker.1, worker.2
        supervisor.kill("worker.1")                 # killed with its children, and started again

A process that ends is started again: at once if it ran for a while, else after growing pauses.
Every process leads a group of its own; when it ends, the rest of its group is killed.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import requests

from ops.local.background import Background
from ops.local.servers import tethered

ROOT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 28  # a platform gives 30 s
LONG_LIFE_S = 10  # a process that ran for so long is started again at once
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
POLL_S = 0.05


class ProcessError(Exception):
    """A process did not start; the message ends with the last lines of its log."""


def read_procfile(path: Path = ROOT / "Procfile") -> dict[str, str]:
    """Read process types and their command lines, in the file's order."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, command in pairs}


@dataclass
class Process:
    """One supervised process. `starts` counts how often it was started."""

    name: str
    command: str
    log_path: Path
    env: dict[str, str]
    cwd: Path
    child: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause: float = FIRST_PAUSE_S

    def start(self) -> None:
        with self.log_path.open("ab" if self.starts else "wb") as log:
            # The shell expands variables; exec replaces it, so that signals reach the command.
            command = ["/bin/sh", "-c", f"exec env {self.command}"]
            self.child = tethered(command, log, env=self.env, cwd=self.cwd)
        self.starts += 1
        self.started_at = time.monotonic()

    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def look_after(self) -> None:
        """Start the process again when it has ended and its pause is over."""
        now = time.monotonic()
        if self.child is not None and self.child.poll() is not None:
            self.signal_group(signal.SIGKILL)
            self.child = None
            self._choose_pause(now)
        if self.child is None and now >= self.start_again_at:
            self.start()

    def _choose_pause(self, now: float) -> None:
        if now - self.started_at > LONG_LIFE_S:
            self.pause, self.start_again_at = FIRST_PAUSE_S, now
        else:
            self.start_again_at = now + self.pause
            self.pause = min(self.pause * 2, LONGEST_PAUSE_S)

    def send(self, number: signal.Signals) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(number)

    def signal_group(self, number: signal.Signals) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, number)

    def log_tail(self) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return f"{self.log_path}:\n" + "\n".join(text.splitlines()[-15:])


@dataclass
class Supervisor(Background):
    """Supervises processes from one thread of its own, until stop()."""

    env: Mapping[str, str]
    log_dir: Path
    cwd: Path = ROOT
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__("supervisor")
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        return super().__enter__()

    def start(
        self, kind: str, command: str, count: int = 1, env: Mapping[str, str] | None = None
    ) -> None:
        """Start `count` more processes of a kind; `env` adds to the supervisor's environment."""
        with self._lock:
            first = len(self.select(kind)) + 1
            for name in (f"{kind}.{number}" for number in range(first, first + count)):
                log_path = self.log_dir / f"{name}.log"
                own_env = {**self.env, "DYNO": name, **(env or {})}
                # The supervisor's thread starts it: a tether depends on the thread that made it.
                self.processes[name] = Process(name, command, log_path, own_env, self.cwd)

    def run(self) -> None:
        """Supervise until stopped; then send SIGTERM to all, and SIGKILL to the rest after 28 s."""
        while not self.stopping.wait(POLL_S):
            with self._lock:
                for process in self.processes.values():
                    process.look_after()
        self._end_all()

    def select(self, name: str) -> list[Process]:
        """The processes of a type (`worker`), or the one with that full name (`worker.2`)."""
        return [p for p in self.processes.values() if name in (p.name, p.name.split(".")[0])]

    def pids(self, name: str) -> list[int]:
        return [p.child.pid for p in self.select(name) if p.child and p.is_running()]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal. SIGKILL, SIGSTOP and SIGCONT go to children too, as if a machine died."""
        whole_group = number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)
        with self._lock:
            for process in self.select(name):
                (process.signal_group if whole_group else process.send)(number)

    def wait_for(self, name: str, starts: int = 1, timeout: float = 30) -> None:
        """Wait until a process (or all of a kind) runs and was started at least `starts` times."""
        self._wait(
            name,
            lambda: all(p.is_running() and p.starts >= starts for p in self.select(name)),
            timeout,
        )

    def wait_for_http(self, name: str, url: str, timeout: float = 60) -> None:
        """Wait until `url`, which the process `name` serves, answers 200."""
        self._wait(name, lambda: _answers(url), timeout)

    def _wait(self, name: str, condition: Callable[[], bool], timeout: float) -> None:
        if not self.select(name):
            raise ProcessError(f"no process {name!r}; there are {', '.join(self.processes)}")
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                tails = "\n".join(process.log_tail() for process in self.select(name))
                raise ProcessError(f"{name} is not ready after {timeout:.0f} s. {tails}")
            time.sleep(POLL_S)

    def _end_all(self) -> None:
        for process in self.processes.values():
            process.signal_group(signal.SIGCONT)
            process.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(p.is_running() for p in self.processes.values()) and time.monotonic() < deadline:
            time.sleep(POLL_S / 5)
        for process in self.processes.values():
            process.signal_group(signal.SIGKILL)
            if process.child:
                process.child.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


class LogEcho(Background):
    """Copies new lines of all logs in a directory to a writer, after their process' names."""

    def __init__(self, log_dir: Path, write: Callable[[str], object]) -> None:
        super().__init__("log echo")
        self.log_dir, self.write = log_dir, write
        self._offsets: dict[Path, int] = {}

    def run(self) -> None:
        while not self.stopping.wait(0.3):
            self.copy_new_lines()
        self.copy_new_lines()

    def copy_new_lines(self) -> None:
        for path in sorted(self.log_dir.glob("*.log")):
            with path.open("rb") as log:
                log.seek(self._offsets.get(path, 0))
                whole, _, _ = log.read().rpartition(b"\n")
            if whole:
                self._offsets[path] = self._offsets.get(path, 0) + len(whole) + 1
                for line in whole.decode(errors="replace").splitlines():
                    self.write(f"{path.stem:>9} | {line}\n")
