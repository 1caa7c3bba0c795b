"""`make run`: its data are there again the next time, and a signal ends it wherever it runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from ops.local.run import reset
from ops.local.servers import Postgres, free_port
from ops.local.stack import HOST_V6, has_ipv6
from ops.local.supervisor import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults("First minutes")]

SEAT = {"seat_guid": "a1", "seat_number": "1", "category": "All", "position": {"x": 0, "y": 0}}
ROW = {"row_number": "1", "seats": [SEAT]}
ZONE = {"name": "Hall", "position": {"x": 0, "y": 0}, "rows": [ROW]}
PLAN = {"name": "Cellar", "categories": [{"name": "All"}], "zones": [ZONE]}
PROGRAM = """
import sys
from pathlib import Path
from ops.local.run import run
from ops.local.terminal import print_by_lines
print_by_lines()
run(Path(sys.argv[1]), int(sys.argv[2]), False, Path(sys.argv[3]))
"""


class Runs:
    """`make run` as it is in the background of a script: SIGINT is ignored, its output a file."""

    def __init__(self, folder: Path) -> None:
        self.plan, self.port, self.var = folder / "plan.json", free_port(), folder / "var"
        self.log = folder / "log"
        self.plan.write_text(json.dumps(PLAN))

    @contextmanager
    def once(self) -> Iterator[str]:
        """Start, yield what was said when all was up, and end with SIGINT."""
        command = [sys.executable, "-c", PROGRAM, str(self.plan), str(self.port), str(self.var)]
        with self.log.open("wb") as log:
            run = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )  # fmt: skip
        try:
            wait_until(lambda: "Ctrl-C stops" in self.log.read_text() or run.poll() is not None, 90)
            yield self.log.read_text()
            os.kill(run.pid, signal.SIGINT)
            assert run.wait(60) != 0, self.log.read_text()
        finally:
            run.kill()
            run.wait()


def event_of(said: str) -> str:
    (line,) = [line for line in said.splitlines() if line.startswith("  on sale")]
    return line.split()[-1]


@pytest.mark.system
def test_what_was_sold_is_there_at_the_next_run(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with runs.once() as said:
        url = event_of(said)
        assert url == f"http://localhost:{runs.port}/v1/events/1"
        assert "The database is new" in said
        assert "make reset" in said
        alice = {"name": "Alice", "email": "alice@usher.example"}
        answer = requests.post(f"{url.partition('/v1/')[0]}/v1/accounts", json=alice, timeout=20)
        token = {"Authorization": f"Bearer {answer.json()['token']}"}
        if has_ipv6():
            assert requests.get(f"http://[{HOST_V6}]:{runs.port}/healthz", timeout=20).ok
    with runs.once() as said:
        assert event_of(said) == url
        assert "that of earlier runs: 1 events, 0 bookings" in said
        base = url.partition("/v1/")[0]
        mine = requests.get(f"{base}/v1/me/bookings", headers=token, timeout=20)
        assert (mine.status_code, mine.json()) == (200, [])
    home = Postgres(runs.var / "pg")
    home._find_home()
    reset(runs.var)
    assert not runs.var.exists()
    assert not home.home.exists()


def test_a_run_is_not_emptied_while_it_goes_on(tmp_path: Path) -> None:
    from ops.local.stack import alone_in

    with alone_in(tmp_path), pytest.raises(SystemExit, match="in use by another run"):
        reset(tmp_path)
    assert tmp_path.exists()
