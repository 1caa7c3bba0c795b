"""PgBouncer in transaction mode in front of a database, as many hosts of PostgreSQL have it."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ops.local.servers import free_port, tethered
from tests.support.programs import need_program
from tests.support.waiting import wait_until

SETTINGS = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
"""


@contextmanager
def pooled(database_url: str, sessions: int) -> Iterator[str]:
    """The URL of the same database through a pooler that has so many sessions for all clients."""
    program, own_port = need_program("pgbouncer"), free_port()
    server = conninfo_to_dict(database_url)
    user, password, database = server["user"], server.get("password", ""), server["dbname"]
    url = f"postgresql://{user}:{password}@127.0.0.1:{own_port}/{database}"
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="usher-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users").write_text(f'"{user}" "{password}"\n')
        values = {"host": server["host"], "port": server["port"], "own_port": own_port}
        settings = SETTINGS.format(**values, folder=folder, sessions=sessions)
        (folder / "settings").write_text(settings)
        with (folder / "log").open("wb") as log:
            bouncer = tethered([program, str(folder / "settings")], log, user=nobody)
        try:
            wait_until(lambda: answers(url), 20)
            yield url
        finally:
            bouncer.terminate()
            bouncer.wait()


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True
