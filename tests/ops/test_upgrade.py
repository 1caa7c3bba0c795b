"""An upgrade: new code starts on the data of an earlier version, in which tasks wait.

The data are a dump that the earlier version's own migrations and functions made; its name has the
commit (tests/support/old_data.py says how). Add one for each release.
"""

import gzip
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.connections import Conn, one
from db.maintenance.invariants import violations
from ops.deploy.migrate import migrate
from ops.local.servers import PACKAGE
from tests.conftest import Servers
from tests.support.running import Running
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.faults("First minutes")]

DUMPS = sorted((Path(__file__).parent / "data").glob("usher-*.sql.gz"))
# The dump is of a day in the past: the sale goes on as if it had been stopped a moment ago.
A_MOMENT_AGO = """
update events set on_sale_at = now() - interval '1 hour', off_sale_at = now() + interval '30 days',
    starts_at = now() + interval '31 days';
update bookings set deadline = now() + interval '10 min' where state in ('held', 'authorising');
update outbox set run_at = now(), resend_at = now();
"""


@pytest.fixture(params=DUMPS, ids=lambda path: path.name.partition(".")[0])
def database_url(servers: Servers, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of an earlier version, to which this version's release was applied."""
    name = f"usher_upgraded_{secrets.token_hex(4)}"
    url = servers.create(name)
    dump = gzip.decompress(request.param.read_bytes())
    command = [str(PACKAGE / "pginstall" / "bin" / "psql"), url, "--set=ON_ERROR_STOP=1", "--quiet"]
    subprocess.run(command, input=dump, check=True, stdout=subprocess.DEVNULL)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(A_MOMENT_AGO)
    migrate(url)
    yield url
    servers.drop(name)


def bookings(conn: Conn) -> dict[str, dict[str, Any]]:
    """By the buyer's name."""
    query = "select name, b.* from bookings b join buyers on buyers.id = b.buyer_id"
    return {row["name"]: row for row in conn.execute(query)}


def test_there_is_a_dump() -> None:
    assert DUMPS


def test_the_old_data_are_whole(conn: Conn) -> None:
    waiting = conn.execute("select actor from outbox order by actor").fetchall()
    assert {"advance", "send_email"} <= {row["actor"] for row in waiting}
    assert violations(conn) == []


def test_what_waited_is_done_by_the_new_version(running: Running) -> None:
    """Alice's payment, Bob's e-mail, Carol's turn; Dora pays what was held before the upgrade."""
    conn = running.conn
    with running.work():
        running.pay(bookings(conn)["dora"]["id"])
        for name in ("alice", "bob", "dora"):
            running.wait_for(bookings(conn)[name]["id"], "confirmed")
        wait_until(lambda: "carol" in bookings(conn), 30)
        query = "select count(*) as n from emails where template = 'confirmed' and state = 'sent'"
        wait_until(lambda: one(conn.execute(query))["n"] == 3, 30)
    assert len(running.catcher.mails("alice@usher.example")) == 1
    assert len(running.catcher.mails("bob@usher.example")) == 1
    assert violations(conn) == []
    assert running.dead_letters() == []
