"""queue.join, queue.position, queue.position.depth and queue.memory: the queue over HTTP.

The web process runs with the Procfile's command. The reference is a minimal app under the same
gunicorn and settings. It gets the same requests from the same process over the same connections.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import requests

from db.connections import one
from ops.bench.crowds import Crowds
from ops.bench.events import Event
from ops.bench.measure import Row, Sample, compare, resident_bytes, state, timed
from ops.local.supervisor import ROOT

MIB = 2**20
TABLES = ("entries", "queue_leavers", "lane_state", "lane_wakes")
SPACE = """
SELECT (SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s::text[]) t)::bigint AS space,
    count(*) AS waiting, avg(pg_column_size(e.*))::float AS row
FROM entries e WHERE state = 'waiting'
"""
strangers = count(100_000_000, 1_000_000)
"""The first account of each round; these accounts have no entries yet."""


class Load:
    """The process that sends the requests."""

    def __init__(self, process: "subprocess.Popen[str]", crowds: Crowds) -> None:
        self.process, self.crowds = process, crowds

    def measure(self, kind: str, method: str, path: str, token: str | None = None) -> Sample:
        """Time the options' number of requests to `web` or `bare`; with the token, or each for
        another buyer."""
        urls = {"web": self.crowds.stack.web_url, "bare": self.crowds.bare_url}
        asked = {"url": urls[kind], "path": path, "method": method}
        which = {"first": next(strangers), "token": token}
        self._ask(json.dumps(asked | which | {"count": self.crowds.options.requests}))
        with timed(lambda: self.crowds.pids(kind)) as watch:
            answered = int(self._ask("go"))
        return Sample(answered, watch.seconds, watch.cpu_seconds)

    def _ask(self, line: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the load has ended: its traceback is above"
        return answer


@contextmanager
def loading(crowds: Crowds) -> Iterator[Load]:
    command = [sys.executable, "-m", "ops.bench.load"]
    with subprocess.Popen(
        command, cwd=ROOT, env=crowds.stack.env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield Load(process, crowds)
        finally:
            process.terminate()


def join(crowds: Crowds) -> Row:
    with loading(crowds) as load:
        return compare(
            "queue.join",
            "requests/s",
            f"POST …/queue behind {crowds.options.waiting:,} entries",
            crowds.options,
            lambda: load.measure("web", "POST", queue_of(crowds.deep)),
            lambda: load.measure("bare", "POST", "/rows"),
            "Flask route of one INSERT",
        )


def position(crowds: Crowds) -> Row:
    document = requests.get(crowds.stack.web_url + queue_of(crowds.deep), timeout=10).content
    requests.put(f"{crowds.bare_url}/document", document, timeout=10).raise_for_status()
    with loading(crowds) as load:
        return compare(
            "queue.position",
            "requests/s",
            f"GET …/queue, {len(document)} bytes, {crowds.options.waiting:,} waiting",
            crowds.options,
            lambda: load.measure("web", "GET", queue_of(crowds.deep)),
            lambda: load.measure("bare", "GET", "/document"),
            "Flask route, same bytes",
        )


def position_depth(crowds: Crowds) -> Row:
    with loading(crowds) as load:
        return compare(
            "queue.position.depth",
            "requests/s",
            f"GET …/queue, {crowds.options.waiting:,} waiting",
            crowds.options,
            lambda: load.measure("web", "GET", queue_of(crowds.deep)),
            lambda: load.measure("web", "GET", queue_of(crowds.shallow)),
            f"{crowds.options.few:,} waiting",
        )


def queue_of(event: Event) -> str:
    return f"/v1/events/{event.id}/queue"


def memory(crowds: Crowds) -> Row:
    """The size on disk of both queues, with all indexes."""
    found = one(crowds.conn.execute(SPACE, [list(TABLES)]))
    return state(
        "queue.memory",
        "bytes",
        f"tables {', '.join(TABLES)} with their indexes, for each of {found['waiting']:,} entries",
        [(found["space"] / found["waiting"], found["row"])],
        "the row itself",
        "lower",
    )


def memory_of_web(crowds: Crowds) -> Row:
    """Measure both queues in turn, since a process grows a little with everything it does."""

    def look(load: Load, event: Event) -> float:
        load.measure("web", "GET", queue_of(event))
        return resident_bytes(crowds.stack.supervisor.pids("web")) / MIB

    with loading(crowds) as load:
        look(load, crowds.deep)
        pairs = [
            (look(load, crowds.deep), look(load, crowds.shallow)) for _ in range(crowds.rounds)
        ]
    each = (pairs[-1][0] - pairs[-1][1]) * MIB / crowds.options.waiting
    return state(
        "queue.memory.web",
        "MiB",
        f"resident memory of gunicorn with its worker: {each:.1f} bytes a waiting entry",
        pairs,
        f"{crowds.options.few:,} waiting",
        "lower",
    )


ROWS = {
    "queue.memory": memory,
    "queue.memory.web": memory_of_web,
    "queue.position": position,
    "queue.position.depth": position_depth,
    "queue.join": join,
}
