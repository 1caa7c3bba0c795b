"""An upgrade: new code starts on the data of an earlier version, in which tasks wait.

The data are a dump that the earlier version's own migrations and functions made; its name has the
commit (tests/support/old_data.py says how). Add one for each release.
"""

import gzip
import hashlib
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg.types.json import Jsonb

from db.connections import Conn, one
from db.maintenance.invariants import violations
from ops.deploy.migrate import migrate
from ops.local.servers import PACKAGE
from tests.support.databases import Servers
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, token_of

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


def sign_in(app: Flask, conn: Conn, name: str) -> Caller:
    """A buyer of the earlier version."""
    buyer = one(conn.execute("select id from buyers where name = %s", [name]))["id"]
    return Caller(app.test_client(), token_of(buyer), buyer)


@pytest.mark.faults("idempotency")
@pytest.mark.parametrize("spelt", [str.lower, str.upper])
def test_a_request_that_is_repeated_across_the_deploy_is_done_once(
    app: Flask, conn: Conn, spelt: Any
) -> None:
    """The earlier version kept the path as it was sent, and a hash of these very words."""
    dora, booking = sign_in(app, conn, "dora"), bookings(conn)["dora"]
    path = f"/v1/events/{booking['event_id']}/bookings/{spelt(str(booking['id']))}/payment"
    body = {"payment_method": "pm_card_visa"}
    words = b'[{"method": "card", "payment_method": "pm_card_visa"}]'
    kept = {"payment": {"id": str(booking["id"]), "state": "intended"}, "state": "authorising"}
    conn.execute(
        "insert into idempotency_keys (principal, route, key, request_sha256, status, response)"
        " values (%s, %s, 'once', %s, 202, %s)",
        [f"buyer:{dora.id}", f"POST {path}", hashlib.sha256(words).digest(), Jsonb(kept)],
    )
    again = dora.post(path, body, key="once")
    assert (again.status_code, again.json) == (202, kept)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert bookings(conn)["dora"]["state"] == "held"
    assert dora.post(path, body, key="another").status_code == 202
    assert bookings(conn)["dora"]["state"] == "authorising"


FUNCTIONS = """
select oid::regprocedure::text as signature from pg_proc
where pronamespace = 'public'::regnamespace and proname <> 'check_lock_order'
"""
A_DAY_AGO = """
select format('comment on routine %s is %L', oid::regprocedure,
    'Of an earlier version, seen ' || now() - interval '2 days') as statement
from pg_proc where obj_description(oid, 'pg_proc') like 'Of an earlier version%'
"""


def test_functions_of_the_earlier_version_are_gone(
    conn: Conn, database_url: str, servers: Servers, template_database: str
) -> None:
    """Those whose calls a function of this version takes at once, others by a deploy a day
    later."""
    clone = f"usher_clone_{secrets.token_hex(4)}"
    with psycopg.connect(servers.create(clone, template_database)) as fresh:
        wanted = {row[0] for row in fresh.execute(FUNCTIONS)}
    servers.drop(clone)
    found = [row["signature"] for row in conn.execute(FUNCTIONS)]
    for name in ("check_wish", "join_queue", "book_seats", "request_refund"):
        assert len([one for one in found if one.startswith(f"{name}(")]) == 1
    for row in conn.execute(A_DAY_AGO).fetchall():
        conn.execute(row["statement"])
    migrate(database_url)
    assert {row["signature"] for row in conn.execute(FUNCTIONS)} == wanted
