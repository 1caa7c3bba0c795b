"""lanes.thousand: a look for the next lane among 1,000 in which entries wait, all of them due,
beside a look among one. The relay looks up to twenty times a second, and a drain before each batch.
"""

from pathlib import Path

from db.connections import Conn
from db.queue import lanes
from ops.bench import events
from ops.bench.measure import Options, Row, Sample, compare, timed
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

WAITING = 20  # in each lane
LOOKS = 300  # enough to be seen in CPU time
WARM_UP = 10


def thousand(options: Options, var_dir: Path) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        many, single = (
            add_lanes(postgres, name, count) for name, count in (("many", options.few), ("one", 1))
        )
        return compare(
            "lanes.thousand",
            "looks/s",
            f"{options.few:,} lanes due, {WAITING} waiting in each; one connection",
            options,
            lambda: look(postgres, many),
            lambda: look(postgres, single),
            "one lane due",
        )


def add_lanes(postgres: Postgres, name: str, count: int) -> str:
    """A database with so many lanes; its URL."""
    url = postgres.create_database(name)
    migrate(url)
    with connected(url) as conn:
        events.empty(conn)
        for _ in range(count):
            events.add_entries(conn, events.add_event(conn, events.SEATS_A_ROW), WAITING)
        events.settle_down(conn)
    return url


def look(postgres: Postgres, url: str) -> Sample:
    with connected(url) as conn:
        for _ in range(WARM_UP):
            find(conn)
        with timed(lambda: [postgres.pid]) as watch:
            for _ in range(LOOKS):
                find(conn)
        return Sample(LOOKS, watch.seconds, watch.cpu_seconds)


def find(conn: Conn) -> None:
    assert lanes.any_work(conn)


ROWS = {"lanes.thousand": thousand}
