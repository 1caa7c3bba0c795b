"""Bring a database to this version's schema and functions; the Procfile's `release`.

pgmigrate applies the migrations that were not applied yet. Then one transaction creates all
functions and triggers anew, drops functions of earlier versions, and fills the reference data of
sql/data. Running it again changes nothing. A lock keeps two runs apart. It connects to
DATABASE_DIRECT_URL, if that is set: a pooler in transaction mode cannot hold the lock.
"""

import argparse
import logging
import sys
import threading
import time
from pathlib import Path

import pgmigrate
import psycopg
import sqlparse
from psycopg.rows import dict_row

from db.accounts import secrets
from db.connections import Conn
from db.maintenance import functions
from ops.deploy import roles
from ops.deploy.addresses import rewrite_addresses

SQL = Path(__file__).resolve().parents[2] / "sql"
LOCK_KEY = 0x5573686572  # "Usher"
WAIT_FOR_POSTGRES = 60
"""Seconds for which a deploy waits for Postgres."""
LOCK_POLL_S = 0.1


def migrate(database_url: str, sql: Path = SQL) -> list[str]:
    """Migrate under an advisory lock, since pgmigrate has none of its own. Returns sentences about
    what a person has to look at.

    Errors: pgmigrate.MigrateError when a migration fails (it is rolled back if it can run in a
    transaction), psycopg.Error when a function cannot be created (the migrations stay; functions,
    triggers and data are as before).
    """
    with psycopg.connect(database_url, autocommit=True) as lock:
        wait_for_lock(lock)
        apply_migrations(database_url, sql)
        with psycopg.connect(database_url, row_factory=dict_row) as conn:
            outdated = create_functions(conn, sql)
            sentences = drop_functions(conn, outdated)
            if roles.have_roles(conn):
                roles.grant_rights(conn)
        return sentences + rewrite_addresses(database_url)


def wait_for_lock(conn: psycopg.Connection) -> None:
    """Poll for the lock. A waiting statement would hold a snapshot, and CREATE INDEX CONCURRENTLY
    would wait for that."""
    while True:
        row = conn.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
        if row == (True,):
            return
        time.sleep(LOCK_POLL_S)


def apply_migrations(database_url: str, sql: Path) -> None:
    # sqlparse refuses long statements unless told otherwise, as pgmigrate's command line does.
    sqlparse.engine.grouping.MAX_GROUPING_DEPTH = None  # type: ignore[assignment]
    sqlparse.engine.grouping.MAX_GROUPING_TOKENS = None  # type: ignore[assignment]
    wanted = argparse.Namespace(
        conn=database_url,
        target="latest",
        base_dir=str(sql),
        force_mixed=True,  # migrations that cannot run in a transaction beside those that do
    )
    config = pgmigrate.get_config(str(sql), wanted)
    try:
        pgmigrate.migrate(config)
    finally:
        config.conn_instance.close()


def create_functions(conn: Conn, sql: Path) -> list[int]:
    """Create functions in any order, check their bodies once all exist, then run triggers and
    data. All of it happens in the caller's transaction. Returns the ids of functions that were
    there and were not created anew."""
    before = functions.list_functions(conn)
    paths = sorted((sql / "functions").rglob("*.sql"))
    conn.execute("SET LOCAL check_function_bodies = off")
    run_files(conn, paths)
    conn.execute("SET LOCAL check_function_bodies = on")
    run_files(conn, paths)
    run_files(conn, sorted((sql / "triggers").glob("*.sql")))
    run_files(conn, sorted((sql / "data").glob("*.sql")))
    after = functions.list_functions(conn)
    return [id for id, version in before.items() if after.get(id) == version]


def drop_functions(conn: Conn, outdated: list[int]) -> list[str]:
    """Drop functions of earlier versions: at once where this version takes their calls, otherwise
    by a deploy a day later, since processes of the earlier version may still call them."""
    sentences = []
    for todo in functions.plan_cleanup(conn, outdated):
        conn.execute(todo["statement"].encode())
        if todo["is_marked"]:
            sentences.append(
                f"{todo['signature']} is not of this version: a deploy in a day or later drops it"
                " (what is not Usher's belongs in a schema of its own)"
            )
    return sentences


def run_files(conn: Conn, paths: list[Path]) -> None:
    for path in paths:
        try:
            conn.execute(path.read_bytes())
        except psycopg.Error as error:
            error.add_note(f"while running {path}")
            raise


def main() -> None:
    from db.runtime.settings import (
        settings,  # here, since others migrate databases of their own choice
    )
    from db.runtime.startup import wait_for_postgres

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    given_up = threading.Event()
    timer = threading.Timer(WAIT_FOR_POSTGRES, given_up.set)
    timer.daemon = True  # so that a finished release does not wait for the timer
    timer.start()
    url = settings().database_direct_url
    if not wait_for_postgres(given_up, url):
        sys.exit("Postgres does not answer at DATABASE_URL: nothing was migrated")
    try:
        for sentence in migrate(url):
            print(sentence, file=sys.stderr)
    except pgmigrate.MigrateError as error:
        sys.exit(f"{error}: it was rolled back, if it can run in a transaction")
    check_encryption_keys(url)


def check_encryption_keys(database_url: str) -> None:
    """Stop the release while secrets are sealed with keys that the new processes would not have."""
    with psycopg.connect(database_url, row_factory=dict_row) as conn:
        unknown = secrets.find_unknown_keys(conn)
    if unknown:
        sys.exit(
            f"ENCRYPTION_KEYS lacks {', '.join(unknown)}: secrets are sealed with it. Add it after"
            " the first key, then run `python -m ops.console secrets reseal`"
        )


if __name__ == "__main__":
    main()
