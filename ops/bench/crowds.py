"""Two queues before one web process, a deep one and a shallow one; what many rows share, since a
million people take a while to gather.

The web process runs as the Procfile has it, and beside it, with the same gunicorn and settings, a
bare Flask app (ops/bench/bare.py). Nothing drains unless a row does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db.connections import Conn
from ops.bench import bare, halls
from ops.bench.halls import Hall
from ops.bench.measure import Options
from ops.local.servers import Postgres, connected, free_port
from ops.local.stack import HOST, Stack

MOST_ROUNDS = 3


@dataclass
class Crowds:
    """Both in one database, as the web process sees them; `conn` is connected to it."""

    options: Options
    stack: Stack
    conn: Conn
    deep: Hall
    shallow: Hall
    bare_url: str

    @property
    def rounds(self) -> int:
        return min(self.options.rounds, MOST_ROUNDS)

    @property
    def postgres(self) -> Postgres:
        assert self.stack.postgres is not None
        return self.stack.postgres

    def pids(self, kind: str) -> list[int]:
        """The servers that answer requests: of Usher (`web`), or the bare app (`bare`)."""
        return [*self.stack.supervisor.pids(kind), self.postgres.pid]


@contextmanager
def gathered(options: Options, var_dir: Path) -> Iterator[Crowds]:
    with Stack(var_dir / "stack", formation={"web": 1}, say=lambda _: None) as stack:
        assert stack.postgres is not None, "unset DATABASE_URL: the bench fills a server of its own"
        bare_url = start_bare_app(stack)
        with connected(stack.database_url) as conn:
            halls.empty(conn)
            conn.execute(bare.TABLE)
            deep = gather(conn, options.seats, options.waiting, options)
            shallow = gather(conn, options.seats, options.few, options)
            halls.settle_down(conn)
            yield Crowds(options, stack, conn, deep, shallow, bare_url)


def gather(conn: Conn, seats: int, waiting: int, options: Options) -> Hall:
    options.say(f"  a hall of {seats:,} seats, and {waiting:,} people before it")
    hall = halls.add_hall(conn, seats)
    halls.add_crowd(conn, hall, waiting)
    return hall


def start_bare_app(stack: Stack) -> str:
    """Under the very command of the web process; gives its URL."""
    port = free_port()
    command = stack.procfile["web"].replace("web.app", "ops.bench.bare")
    stack.supervisor.start("bare", command, env={"GUNICORN_CMD_ARGS": f"--bind {HOST}:{port}"})
    url = f"http://{HOST}:{port}"
    stack.supervisor.wait_for_http("bare", f"{url}/document")
    return url
