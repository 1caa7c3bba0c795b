"""One web process with a deep queue and a shallow queue. Many rows share it, because inserting a
million entries takes a while.

The web process runs with the Procfile's command. Beside it runs a bare Flask app
(ops/bench/bare.py) with the same gunicorn and settings. No worker runs: only rows drain.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db.connections import Conn
from ops.bench import bare, events
from ops.bench.events import Event
from ops.bench.measure import Options
from ops.local.kept import HOST
from ops.local.servers import Postgres, connected, free_port
from ops.local.stack import Stack

MOST_ROUNDS = 3


@dataclass
class Crowds:
    """Both queues in one database, and a connection to it (`conn`)."""

    options: Options
    stack: Stack
    conn: Conn
    deep: Event
    shallow: Event
    bare_url: str

    @property
    def rounds(self) -> int:
        return min(self.options.rounds, MOST_ROUNDS)

    @property
    def postgres(self) -> Postgres:
        assert self.stack.postgres is not None
        return self.stack.postgres

    def pids(self, kind: str) -> list[int]:
        """The processes that answer requests: Usher's (`web`) or the bare app's (`bare`)."""
        return [*self.stack.supervisor.pids(kind), self.postgres.pid]


@contextmanager
def gathered(options: Options, var_dir: Path) -> Iterator[Crowds]:
    with Stack(var_dir / "stack", formation={"web": 1}, say=lambda _: None) as stack:
        assert stack.postgres is not None, "unset DATABASE_URL: the bench fills a server of its own"
        bare_url = start_bare_app(stack)
        with connected(stack.database_url) as conn:
            events.empty(conn)
            conn.execute(bare.TABLE)
            deep = gather(conn, options.seats, options.waiting, options)
            shallow = gather(conn, options.seats, options.few, options)
            events.settle_down(conn)
            yield Crowds(options, stack, conn, deep, shallow, bare_url)


def gather(conn: Conn, seats: int, waiting: int, options: Options) -> Event:
    options.say(f"  an event with {seats:,} seats and {waiting:,} waiting entries")
    event = events.add_event(conn, seats)
    events.add_entries(conn, event, waiting)
    return event


def start_bare_app(stack: Stack) -> str:
    """Start it with the web process' own command; return its URL."""
    port = free_port()
    command = stack.procfile["web"].replace("web.app", "ops.bench.bare")
    stack.supervisor.start("bare", command, env={"GUNICORN_CMD_ARGS": f"--bind {HOST}:{port}"})
    url = f"http://{HOST}:{port}"
    stack.supervisor.wait_for_http("bare", f"{url}/document")
    return url
