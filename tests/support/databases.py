"""Real servers for all tests: embedded, or those of DATABASE_URL and REDIS_URL when they are set.

Each test has a database that is as if migrated a moment ago. To clone one costs little, but all
that is new to its connections has to be read and planned anew: 0.15 s of CPU for each test.
Therefore tests that start no processes with it use one database of their worker in turn. It is
emptied between them, and its connections stay. A test that changes more than rows has it dropped,
and the next test clones another.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import UUID

import psycopg
import psycopg.sql
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from db.connections import Conn
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, Redis
from tests.support.started import started
from tests.support.theatre import stage_every_state

# Nothing of a test's data must survive a power cut.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "1min",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
}
ENOUGH_MEMORY = 2 * 2**30
LOCK_ORDER = Path(__file__).with_name("lock_order.sql")
EMPTYING = Path(__file__).with_name("emptying.sql")
OWN_DATABASE = {"processes", "system", "own_database"}
"""Marks of tests that have a database which no other test has used."""
MOST_TESTS = 100
"""How many tests use a database in turn, since deleted rows stay in its files."""


@dataclass(frozen=True)
class Servers:
    """Where tests find PostgreSQL (as somebody who may create databases) and Redis."""

    admin_url: str
    redis_url: str

    def url_of(self, database: str) -> str:
        """The URL of another database on the same server."""
        parts = conninfo_to_dict(self.admin_url)
        user = f"{parts['user']}:{parts['password']}" if "password" in parts else parts["user"]
        return f"postgresql://{user}@{parts['host']}:{parts.get('port', 5432)}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", database, template)
        return self.url_of(database)

    def drop(self, database: str) -> None:
        self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def _run(self, statement: str, *names: str) -> None:
        identifiers = map(psycopg.sql.Identifier, names)
        connect(self.admin_url).execute(psycopg.sql.SQL(statement).format(*identifiers))


@cache
def connect(admin_url: str) -> psycopg.Connection:
    """One connection for all databases that are made and dropped: to fork a backend costs more."""
    return psycopg.connect(admin_url, autocommit=True)


class Kept:
    """A database that tests use in turn."""

    def __init__(self, servers: Servers, template: str) -> None:
        self.servers, self.name, self.tests = servers, new_name("kept"), 0
        self.url = servers.create(self.name, template)
        self._keeper = self._connect()
        self._keeper.execute(EMPTYING.read_text())
        self._begin = self._read_catalog()
        self.conn = self._connect()

    def _connect(self) -> Conn:
        return psycopg.connect(
            self.url, autocommit=True, row_factory=dict_row, application_name="tests"
        )

    def empty(self) -> bool:
        """Delete what a test left: false, if it has to be left with it. Errors: psycopg.Error."""
        self.tests += 1
        if self.tests >= MOST_TESTS:
            return False
        self._keeper.execute("select pg_temp.empty()")
        if self._begin != self._read_catalog():
            return False
        self._reset_connection()
        return True

    def _read_catalog(self) -> object:
        return self._keeper.execute("select pg_temp.read_catalog() as found").fetchone()

    def _reset_connection(self) -> None:
        conn = self.conn
        if conn.closed or conn.info.transaction_status != TransactionStatus.IDLE:
            conn.close()
            self.conn = self._connect()
            return
        conn.autocommit, conn.row_factory = True, dict_row
        for reset in RESETS:
            conn.execute(reset)

    def drop(self) -> None:
        self.conn.close()
        self._keeper.close()
        self.servers.drop(self.name)


RESETS = ("reset all", "unlisten *", "select pg_advisory_unlock_all()", "discard temp")


def new_name(what: str) -> str:
    return f"usher_{what}_{secrets.token_hex(4)}"


@dataclass
class Shelf:
    """The database that this process keeps, if there is one."""

    servers: Servers
    template: str
    _kept: Kept | None = field(default=None)

    def take(self) -> Kept:
        if self._kept is None:
            self._kept = Kept(self.servers, self.template)
        return self._kept

    def put_back(self) -> None:
        """Empty it for the next test, or drop it."""
        assert self._kept is not None
        try:
            is_empty = self._kept.empty()
        except psycopg.Error:  # a lock that a thread of the test still has, for instance
            is_empty = False
        if not is_empty:
            self.drop()

    def drop(self) -> None:
        if self._kept is not None:
            self._kept.drop()
        self._kept = None

    def connection_to(self, url: str) -> Conn | None:
        return self._kept.conn if self._kept and self._kept.url == url else None


@dataclass(frozen=True)
class Staged:
    """A database to clone, and its bookings by their state."""

    name: str
    bookings: dict[str, UUID]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if database_url and redis_url:
        yield Servers(database_url, redis_url)
        return
    with tempfile.TemporaryDirectory(prefix="usher-tests-", dir=fast_folder()) as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the database server is another user
        with Postgres(folder / "pg", FAST_SETTINGS) as postgres, Redis(folder / "redis") as valkey:
            started.clear()
            yield Servers(database_url or postgres.url, redis_url or valkey.url)


def fast_folder() -> str | None:
    """Memory, if there is enough of it: cloning a database there takes a tenth of the time."""
    memory = Path("/dev/shm")
    enough = memory.is_dir() and shutil.disk_usage(memory).free > ENOUGH_MEMORY
    return str(memory) if enough else None


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    name = new_name("template")
    migrate(url := servers.create(name))
    with psycopg.connect(url) as connection:
        connection.execute(LOCK_ORDER.read_text())
    yield name
    servers.drop(name)


@pytest.fixture(scope="session")
def staged_database(servers: Servers, template_database: str) -> Iterator[Staged]:
    """A template with bookings in every state: to stage them takes 0.4 s."""
    name = new_name("staged")
    url = servers.create(name, template_database)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        bookings = stage_every_state(connection)
    yield Staged(name, bookings)
    servers.drop(name)


@pytest.fixture
def every_state(staged_database: Staged) -> dict[str, UUID]:
    """The test's database has bookings in every state: their ids, see stage_every_state."""
    return staged_database.bookings


@pytest.fixture(scope="session")
def shelf(servers: Servers, template_database: str) -> Iterator[Shelf]:
    shelf = Shelf(servers, template_database)
    yield shelf
    shelf.drop()


@pytest.fixture
def database_url(
    servers: Servers, template_database: str, shelf: Shelf, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A database for the test alone."""
    marks = list(request.node.iter_markers())
    is_own = any(m.name in OWN_DATABASE and m.kwargs.get("database", True) for m in marks)
    template = template_database
    if "every_state" in request.fixturenames:
        template = request.getfixturevalue("staged_database").name
    elif not is_own:
        yield shelf.take().url
        shelf.put_back()
        return
    name = new_name("test")
    yield servers.create(name, template)
    servers.drop(name)


@pytest.fixture
def conn(database_url: str, shelf: Shelf) -> Iterator[Conn]:
    """An autocommit connection to it: open transactions with `conn.transaction()`."""
    if kept := shelf.connection_to(database_url):
        yield kept
        return
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Redis' first database; all databases are empty when the test begins."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url
