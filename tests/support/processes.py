"""Processes of the Procfile, or like them, for tests that start and stop one."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.local.servers import tethered
from ops.local.supervisor import ROOT

BIN = Path(sys.executable).parent


def environment_of(values: dict[str, str]) -> dict[str, str]:
    path = f"{BIN}:{os.environ['PATH']}"
    more = {"TASK_PACE": "0.02", "dramatiq_worker_timeout": "50", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **values, **more, "PATH": path}


@contextmanager
def process(command: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        child = tethered(["/bin/sh", "-c", f"exec env {command}"], output, env=env, cwd=ROOT)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def relaying() -> Iterator[None]:
    from tasks import relay

    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
