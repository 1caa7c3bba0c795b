"""Retention: old rows are deleted in batches, old monthly partitions are dropped."""

from dataclasses import dataclass
from datetime import date

import psycopg.sql

from db.connections import Conn
from db.queries import load
from db.runtime.settings import settings

sql = load("maintenance/housekeeping")

ARCHIVES = ("archived_bookings", "archived_payments", "archived_entries", "archived_events")
DETACH_TIMEOUT = "60s"
"""How long to wait for the transactions that use a partition, until it can be detached."""


def purge_batch(conn: Conn, kind: str, limit: int) -> int:
    """Delete at most `limit` old rows of a kind, and return how many there were."""
    statement, days = _kinds()[kind]
    return conn.execute(statement, {"days": days, "limit": limit}).rowcount


def kinds() -> list[str]:
    """What is purged: tables, and holds that ended without an attempt to pay."""
    return list(_kinds())


def _kinds() -> dict[str, tuple[psycopg.sql.SQL, int]]:
    keep = settings()
    return {
        "idempotency_keys": (psycopg.sql.SQL(sql.purge_idempotency_keys), 0),
        "notification_inbox": (psycopg.sql.SQL(sql.purge_notification_inbox), keep.retention_inbox),
        "audit_log": (psycopg.sql.SQL(sql.purge_acts), keep.retention_audit),
        "dead_letters": (psycopg.sql.SQL(sql.purge_dead_letters), keep.retention_letters),
        "mailboxes": (psycopg.sql.SQL(sql.purge_mailboxes), 0),
        "emails": (psycopg.sql.SQL(sql.purge_emails), keep.retention_emails),
        "plan_imports": (psycopg.sql.SQL(sql.purge_plan_imports), 0),
        "availability_snapshots": (psycopg.sql.SQL(sql.purge_availability), 0),
        "sessions": (psycopg.sql.SQL(sql.purge_sessions), 0),
        "mailed_codes": (psycopg.sql.SQL(sql.purge_mailed_codes), 0),
        "passkey_challenges": (psycopg.sql.SQL(sql.purge_passkey_challenges), 0),
        "address_changes": (psycopg.sql.SQL(sql.purge_address_changes), 0),
        "personal_exports": (psycopg.sql.SQL(sql.purge_personal_exports), 0),
        "holds": (psycopg.sql.SQL(sql.purge_holds), keep.retention_holds),
    }


@dataclass(frozen=True)
class Partition:
    """A partition to be dropped. state: 'attached', 'detaching' or 'detached'."""

    table: str
    name: str
    state: str


def list_old_partitions(conn: Conn) -> list[Partition]:
    """List old partitions of the state log, the archives and the feed."""
    rows = conn.execute(sql.list_old_log, {"days": settings().retention_log})
    found = [Partition("state_log", **row) for row in rows]
    days = dict.fromkeys(ARCHIVES, settings().retention_archives)
    days["feed_messages"] = settings().retention_feed
    for table, kept in days.items():
        rows = conn.execute(sql.list_old_months, {"table": table, "days": kept})
        found += [Partition(table, **row) for row in rows]
    return found


def drop_partition(conn: Conn, old: Partition) -> None:
    """Detach a partition without a lock that others wait for, then drop it. conn is in autocommit
    mode. After an interruption at any point it can be called again.

    Errors: psycopg.errors.QueryCanceled when the partition was in use for too long.
    """
    conn.execute("SELECT set_config('statement_timeout', %s, false)", [DETACH_TIMEOUT])
    try:
        names = map(psycopg.sql.Identifier, (old.table, old.name))
        how = {"attached": "CONCURRENTLY", "detaching": "FINALIZE"}.get(old.state)
        if how:
            detach = f"ALTER TABLE {{}} DETACH PARTITION {{}} {how}"
            conn.execute(psycopg.sql.SQL(detach).format(*names))
        drop = psycopg.sql.SQL("DROP TABLE {}").format(psycopg.sql.Identifier(old.name))
        conn.execute(drop)
    finally:
        if not conn.closed:
            conn.execute("RESET statement_timeout")


def sum_up_day(conn: Conn, day: date) -> int:
    """Write the totals of a day (UTC), and return for how many events."""
    return conn.execute(sql.sum_up_day, {"day": day}).rowcount
