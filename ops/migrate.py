"""Bring a database to this version's schema and functions; the Procfile's `release`.

pgmigrate applies sql/migrations/V*.sql that were not applied yet, then every sql/functions/*.sql is
created anew in one transaction. Running it again changes nothing; two at once take turns.
Connect directly: a pooler in transaction mode cannot hold the lock.
"""

import argparse
import logging
import sys
import threading
from pathlib import Path

import pgmigrate
import psycopg
import sqlparse

SQL = Path(__file__).resolve().parent.parent / "sql"
LOCK_KEY = 0x5573686572  # "Usher"
PATIENCE = 60
"""Seconds for which a deploy waits for Postgres."""


def migrate(database_url: str, sql: Path = SQL) -> None:
    """Migrate under an advisory lock, since pgmigrate has none of its own.

    Errors: pgmigrate.MigrateError when a migration fails (nothing of it stays),
    psycopg.Error when a function cannot be created (the migrations stay, the old functions too).
    """
    with psycopg.connect(database_url, autocommit=True) as lock:
        lock.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        apply_migrations(database_url, sql)
        create_functions(database_url, sql / "functions")


def apply_migrations(database_url: str, sql: Path) -> None:
    # sqlparse refuses long statements unless told otherwise, as pgmigrate's command line does.
    sqlparse.engine.grouping.MAX_GROUPING_DEPTH = None  # type: ignore[assignment]
    sqlparse.engine.grouping.MAX_GROUPING_TOKENS = None  # type: ignore[assignment]
    wanted = argparse.Namespace(conn=database_url, target="latest", base_dir=str(sql))
    config = pgmigrate.get_config(str(sql), wanted)
    try:
        pgmigrate.migrate(config)
    finally:
        config.conn_instance.close()


def create_functions(database_url: str, folder: Path) -> None:
    """Run every file in the order of their names; all of them, or none."""
    with psycopg.connect(database_url) as conn:
        for path in sorted(folder.glob("*.sql")):
            try:
                conn.execute(path.read_bytes())
            except psycopg.Error as error:
                error.add_note(f"while running {path}")
                raise


def main() -> None:
    from db.settings import settings  # here, since others migrate databases of their own choice
    from db.startup import wait_for_postgres

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    given_up = threading.Event()
    timer = threading.Timer(PATIENCE, given_up.set)
    timer.daemon = True  # a release that is done does not wait for it
    timer.start()
    if not wait_for_postgres(given_up):
        sys.exit("Postgres does not answer at DATABASE_URL: nothing was migrated")
    try:
        migrate(settings().database_url)
    except pgmigrate.MigrateError as error:
        sys.exit(f"{error}: nothing of that migration was kept")


if __name__ == "__main__":
    main()
