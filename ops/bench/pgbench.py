"""The reference: `pgbench -N` with 8 clients and 2 threads, scale 10, on the same server.

A transaction of pgbench updates an account, reads it, and inserts a row into the history.
"""

import re
import subprocess

from ops.bench.measure import Sample, timed
from ops.local.servers import Postgres

NAME = "pgbench -N -c 8 -j 2"
SCALE = "10"


class Pgbench:
    """pgbench with its tables in a database of their own, on the server that is measured."""

    def __init__(self, postgres: Postgres, seconds: float) -> None:
        self.postgres = postgres
        self.seconds = seconds
        self.url = postgres.create_database("pgbench")
        self._run("--initialize", "--quiet", f"--scale={SCALE}")

    def measure(self) -> Sample:
        with timed(lambda: [self.postgres.pid]) as watch:
            output = self._run(
                "--skip-some-updates", "--no-vacuum", "--client=8", "--jobs=2",
                f"--time={self.seconds:.0f}",
            )  # fmt: skip
        processed = re.search(r"actually processed: (\d+)", output)
        rate = re.search(r"tps = ([\d.]+)", output)
        assert processed and rate, output
        # pgbench's own rate leaves out the time for connecting, which is not compared.
        seconds = int(processed[1]) / float(rate[1])
        return Sample(int(processed[1]), seconds, watch.cpu_seconds)

    def _run(self, *arguments: str) -> str:
        command = [str(self.postgres.pgbench), *arguments, self.url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
