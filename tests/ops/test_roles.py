"""The roles of the database: what each may do, tried by signing in with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from db.accounts import api_keys, audit_log
from db.connections import Conn
from db.maintenance.personal_columns import ERASED
from db.maintenance.reports import report_names, run_report
from ops.deploy.migrate import migrate
from ops.deploy.roles import APP, MIGRATE, REPORT, SECRETS, create_roles, grant_rights
from tests.support.theatre import Theatre, build_evening

pytestmark = pytest.mark.own_database


@pytest.fixture
def roles(conn: Conn, database_url: str) -> Iterator[Any]:
    """Signs in: `with roles("usher_app") as conn`."""
    create_roles(conn)
    grant_rights(conn)
    for role in (MIGRATE, APP, REPORT):
        conn.execute(SQL("alter role {} password 'of tests'").format(Identifier(role)))

    @contextmanager
    def sign_in(role: str) -> Iterator[Conn]:
        url = of_role(database_url, role)
        with psycopg.connect(url, row_factory=dict_row, autocommit=True) as signed_in:
            yield signed_in

    yield sign_in
    conn.execute("reassign owned by usher_migrate to current_user")
    for role in (REPORT, APP, MIGRATE):
        for command in ("drop owned by {}", "drop role {}"):
            conn.execute(SQL(command).format(Identifier(role)))


def of_role(url: str, role: str) -> str:
    return psycopg.conninfo.make_conninfo(url, user=role, password="of tests")


BYTES = """
    select c.relname as table, a.attname as name
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and not c.relispartition and a.atttypid = 'bytea'::regtype and not a.attisdropped"""


@pytest.fixture
def evening(conn: Conn) -> Theatre:
    return build_evening(conn)


def test_the_app_s_role_sells_and_makes_no_object(evening: Theatre, roles: Any) -> None:
    with roles(APP) as conn:
        sale = build_evening(conn)  # with the sequence of its queue
        booking = sale.hold("alice")
        assert booking
        conn.execute("select ensure_partitions(12)")
        conn.execute("select drop_entry_numbers(999)")
        conn.execute("select audit('tried', null, '{}')")
        assert audit_log.chain_acts(conn, 1000)
        for forbidden in (
            "create table mine (id int)",
            "alter table bookings add mine int",
            "truncate bookings",
            "drop table dead_letters",
            "update schema_version set version = 1",
            "update audit_log set actor = 'another'",
            "update audit_chain set number = number + 1",
            "create function mine() returns int language sql as 'select 1'",
        ):
            with pytest.raises(InsufficientPrivilege):
                conn.execute(forbidden)


def test_the_report_s_role_reads_nothing_personal_and_writes_nothing(
    evening: Theatre, conn: Conn, roles: Any
) -> None:
    evening.hold("alice")
    tables = {row["relname"] for row in conn.execute("select relname from pg_class")}
    with roles(REPORT) as reader:
        for name in report_names():
            with reader.transaction():
                run_report(reader, name, evening.event)
        assert reader.execute("select id, state, total from bookings").fetchall()
        hidden = [column for column in ERASED if column.split(".")[0] in tables]
        hidden += [f"{row['table']}.{row['name']}" for row in conn.execute(BYTES)]
        hidden += [f"{table}.{name}" for table, names in SECRETS.items() for name in names]
        assert len(hidden) > 30
        for column in hidden:
            table, name = column.split(".")
            with pytest.raises(InsufficientPrivilege):
                reader.execute(f"select {name} from {table} limit 1")
        partitions = "select c.relname as name from pg_class c where c.relispartition"
        for row in conn.execute(partitions + " and c.relkind = 'r'").fetchall():
            with pytest.raises(InsufficientPrivilege):
                reader.execute(SQL("select * from {}").format(Identifier(row["name"])))
        for forbidden in (
            "delete from bookings",
            "update events set name = 'mine'",
            "insert into currencies values ('XXX', 2, 1)",
            "select make_entry_numbers(7)",
            "select k from api_keys k",
            "create table mine (id int)",
        ):
            with pytest.raises(InsufficientPrivilege):
                reader.execute(forbidden)


def test_a_release_runs_as_the_migrating_role_and_grants_anew(
    evening: Theatre, conn: Conn, database_url: str, roles: Any
) -> None:
    conn.execute("revoke select on events from usher_app")
    assert migrate(of_role(database_url, MIGRATE)) == []
    with roles(APP) as app:
        assert app.execute("select from events").fetchall()
        api_keys.add_organisation(app, "Opera")
    with roles(MIGRATE) as owner:
        owner.execute("alter table events add mine text")
        owner.execute("alter table events drop mine")
        with pytest.raises(InsufficientPrivilege):
            owner.execute("create role another")
