"""sale.free: free tickets from joining the queue over HTTP to the e-mail in the mail catcher.

All processes of `make run` take part. Each round puts an event with free seats on sale, and one
buyer for each pair of seats joins at once. It ends when the last confirmation mail has been caught.
CPU time is that of Usher's processes, Postgres and Redis, without the crowd, the sandbox and the
mail catcher. Accounts are made beforehand.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from ops.bench import pgbench
from ops.bench.measure import Options, Row, Sample, compare, timed
from ops.crowd.organiser import new_api_key, put_on_sale
from ops.local.stack import Stack
from ops.local.supervisor import ROOT
from ops.plans.square import square_plan

TIMEOUT_S = 120
POLL_S = 0.05
PROCESSES = ("web", "relay", "clock", "worker", "mailer", "keeper")


def free(options: Options, var_dir: Path) -> Row:
    plan = var_dir / "plan.json"
    plan.write_text(json.dumps(square_plan(options.bookings * 2)))
    with Stack(var_dir / "stack", say=lambda _: None) as stack:
        assert stack.postgres is not None, "unset DATABASE_URL: pgbench runs on the same server"
        reference = pgbench.Pgbench(stack.postgres, options.reference_seconds)
        with crowd(stack.web_url, options.bookings) as rush:
            sale = Sale(stack, plan, new_api_key(stack.database_url), rush, options.bookings)
            return compare(
                "sale.free",
                "bookings/s",
                f"{options.bookings:,} buyers of a free pair each, from joining over HTTP to the"
                " e-mail in the catcher; CPU of all Usher's processes, Postgres and Redis",
                options,
                sale.measure,
                reference.measure,
                pgbench.NAME,
            )


@contextmanager
def crowd(web_url: str, buyers: int) -> Iterator["subprocess.Popen[str]"]:
    """Start the buyers' process and wait until all buyers have accounts."""
    command = [sys.executable, "-m", "ops.bench.rush", "--web", web_url, "--buyers", str(buyers)]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                sys.exit("the crowd could not sign up")
            yield process
        finally:
            process.terminate()


@dataclass
class Sale:
    """Sells all seats of an event, once a round."""

    stack: Stack
    plan: Path
    api_key: str
    rush: "subprocess.Popen[str]"
    bookings: int

    def measure(self) -> Sample:
        event_id = put_on_sale(self.stack.web_url, self.api_key, self.plan, free=True)
        wanted = self._caught() + self.bookings
        with timed(self._pids) as watch:
            booked = self._send_crowd(event_id)
            assert booked == self.bookings, f"{booked} of {self.bookings} buyers were booked"
            self._wait_for_mails(wanted)
        return Sample(booked, watch.seconds, watch.cpu_seconds)

    def _pids(self) -> list[int]:
        assert self.stack.postgres and self.stack.redis
        ours = [pid for kind in PROCESSES for pid in self.stack.supervisor.pids(kind)]
        return [*ours, self.stack.postgres.pid, self.stack.redis.pid]

    def _send_crowd(self, event_id: int) -> int:
        assert self.rush.stdin and self.rush.stdout
        self.rush.stdin.write(f"{event_id}\n")
        self.rush.stdin.flush()
        return int(self.rush.stdout.readline())

    def _wait_for_mails(self, wanted: int) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while self._caught() < wanted:
            assert time.monotonic() < deadline, f"{self._caught()} e-mails of {wanted}"
            time.sleep(POLL_S)

    def _caught(self) -> int:
        answer = requests.get(f"{self.stack.catcher_url}/count", timeout=10).json()
        return int(answer["distinct_message_ids"])


ROWS = {"sale.free": free}
