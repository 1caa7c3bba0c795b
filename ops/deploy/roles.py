"""Three roles of the database, with no more rights than each needs.

    python -m ops.deploy.roles        # as an administrator, once: makes them, hands the schema over

usher_migrate owns the schema and runs `release`. usher_app is for all other processes: it reads and
writes rows, and makes, changes and empties no object. usher_report reads what is not personal and
no secret, and writes nothing. They can sign in, and have no passwords until they are given some.

Every release grants the rights anew where they are in use, so new tables and columns have theirs.
"""

import sys

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from db.connections import Conn
from db.maintenance.personal_columns import ERASED

MIGRATE, APP, REPORT = ROLES = ("usher_migrate", "usher_app", "usher_report")

SECRETS = {
    "account_keys": {"*"},
    "audit_personal": {"*"},
    "entries": {"idempotency_key"},
    "idempotency_keys": {"*"},
    "identities": {"*"},
    "invitations": {"*"},
    "mailed_codes": {"*"},
    "notification_inbox": {"*"},
    "outbox": {"args", "lease_token"},
    "recovery_codes": {"*"},
    "sealed_secrets": {"*"},
    "second_factors": {"*"},
    "sessions": {"*"},
    "tickets": {"secret"},
}
"""Columns that no report may read, by table; `*`: all. Besides, those of ERASED, and all of bytes:
they are hashes and keys."""

APPEND_ONLY = ("audit_log", "audit_chain", "audit_personal", "audit_unchained", "account_keys")
"""Tables whose rows are added, and by rules of their own deleted (refuse_audit_changes)."""

REPORTS_CALL = ["money_back_of(bigint, uuid)", "tax_left(bigint, uuid)"]
"""Functions that read what reports may not read as a whole, and return a sum."""

COLUMNS = """
    select c.relname as table, array_agg(a.attname::text order by a.attnum) as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and a.atttypid <> 'bytea'::regtype
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and not c.relispartition  -- what is granted of the whole table is enough
    group by c.relname order by c.relname"""
OBJECTS = """
    select format('alter %s %s owner to usher_migrate', kind, name) as command from (
        select case c.relkind when 'S' then 'sequence' else 'table' end as kind,
            c.oid::regclass::text as name, c.relowner as owner
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'S')
            and not exists (  -- a column's own sequence follows its table
                select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')
                    and c.relkind = 'S')
        union all
        select 'routine', p.oid::regprocedure::text, p.proowner from pg_proc p
        where p.pronamespace = 'public'::regnamespace
        union all
        select 'type', t.oid::regtype::text, t.typowner from pg_type t
        join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
        where t.typnamespace = 'public'::regnamespace) o
    where owner <> 'usher_migrate'::regrole"""
DEFINERS = """
    select format('revoke execute on function %s from public', p.oid::regprocedure) as revoke,
        format('grant execute on function %s to usher_app', p.oid::regprocedure) as grant
    from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prosecdef"""


def have_roles(conn: Conn) -> bool:
    """Whether this database's schema was handed over to usher_migrate."""
    query = """
        select from pg_class c join pg_roles r on r.oid = c.relowner
        where c.oid = to_regclass('events') and r.rolname = 'usher_migrate'"""
    return bool(conn.execute(query).fetchall())


def create_roles(conn: Conn) -> None:
    """Make the roles that are missing, and hand the schema over to usher_migrate."""
    known = {row["rolname"] for row in conn.execute("select rolname from pg_roles")}
    for role in ROLES:
        if role not in known:
            conn.execute(SQL("create role {} login").format(Identifier(role)))
    conn.execute("grant usage, create on schema public to usher_migrate")
    for row in conn.execute(OBJECTS).fetchall():
        conn.execute(row["command"])


def grant_rights(conn: Conn) -> None:
    """Grant each role what it needs, and no more. conn: as the owner of the schema."""
    everything = SQL("{}, {}").format(Identifier(APP), Identifier(REPORT))
    for kind in ("tables", "sequences"):
        revoke = "revoke all on all {} in schema public from {}"
        conn.execute(SQL(revoke).format(SQL(kind), everything))
    conn.execute(SQL("grant usage on schema public to {}").format(everything))
    conn.execute("grant select, insert, update, delete on all tables in schema public to usher_app")
    conn.execute("grant usage, select, update on all sequences in schema public to usher_app")
    conn.execute("revoke insert, update, delete on schema_version from usher_app")
    conn.execute(f"revoke update on {', '.join(APPEND_ONLY)} from usher_app".encode())
    for what in ("select, insert, update, delete on tables", "usage, select, update on sequences"):
        default = """
            alter default privileges for role usher_migrate in schema public
            grant {} to usher_app"""
        conn.execute(SQL(default).format(SQL(what)))
    for row in conn.execute(DEFINERS).fetchall():
        conn.execute(row["revoke"])
        conn.execute(row["grant"])
    for function in REPORTS_CALL:
        conn.execute(SQL("grant execute on function {} to usher_report").format(SQL(function)))
    for row in conn.execute(COLUMNS).fetchall():
        grant_report(conn, row["table"], row["columns"])


def grant_report(conn: Conn, table: str, columns: list[str]) -> None:
    """Let reports read the columns of a table that are neither personal nor secret."""
    hidden = SECRETS.get(table, set())
    shown = [] if "*" in hidden else [
        name for name in columns if name not in hidden and f"{table}.{name}" not in ERASED
    ]  # fmt: skip
    if shown:
        names = SQL(", ").join(map(Identifier, shown))
        grant = SQL("grant select ({}) on {} to usher_report")
        conn.execute(grant.format(names, Identifier(table)))


def main() -> None:
    from db.runtime.settings import settings  # here, since a release imports this file, too

    url = settings().database_direct_url
    with psycopg.connect(url, row_factory=dict_row) as conn:
        create_roles(conn)
        grant_rights(conn)
    print(
        f"{', '.join(ROLES)}: give each a password, then use them in DATABASE_URL", file=sys.stderr
    )


if __name__ == "__main__":
    main()
