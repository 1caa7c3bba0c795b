"""Real servers for all tests: embedded, or those of DATABASE_URL and REDIS_URL when they are set.

`database_url` is a fresh database of its own for every test, cloned from one that was migrated once
per run. `conn` is an autocommit connection to it: open transactions with `conn.transaction()`.
"""

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import psycopg.sql
import pytest
import redis
import structlog
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from db.connections import Conn
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, Redis
from tests.support.theatre import stage_every_state

pytest_plugins = [
    "tests.support.faults",
    "tests.support.world",
    "tests.support.document",
    "tests.support.every_object",
    "tests.support.listening",
    "tests.support.sites",
    "tests.support.running",
    "tests.support.gateways",
    "tests.support.programs",
]

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
LOCK_ORDER = Path(__file__).parent / "support" / "lock_order.sql"
ENOUGH_MEMORY = 2 * 2**30


PROCESSES = {"catcher_process", "gateway_sandbox", "live"}
"""Fixtures that start processes: tests that use them are marked `processes`."""
started: list[str] = []
"""The programs that the test that is running has started, its fixtures included."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if PROCESSES & set(item.fixturenames):
            item.add_marker(pytest.mark.processes)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    started.clear()


def note_process(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        started.append(str(arguments[1]))


sys.addaudithook(note_process)


@pytest.fixture(autouse=True)
def only_marked_tests_start_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """`make test-fast` leaves those out that are marked; the servers of the run do not count."""
    yield
    marks = {mark.name for mark in request.node.iter_markers()}
    if not marks & {"processes", "system"}:
        assert started == [], "mark this test: pytest.mark.processes"


@pytest.fixture(autouse=True)
def logs_outlive_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What writes to a stream that capsys has closed would fail the tests that come after it."""
    yield
    if "capsys" in request.fixturenames:
        structlog.reset_defaults()
        logging.basicConfig(handlers=[logging.NullHandler()], force=True)


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
    name = f"usher_template_{secrets.token_hex(4)}"
    migrate(url := servers.create(name))
    with psycopg.connect(url) as connection:
        connection.execute(LOCK_ORDER.read_text())
    yield name
    servers.drop(name)


@pytest.fixture(scope="session")
def staged_database(servers: Servers, template_database: str) -> Iterator[Staged]:
    """A template with bookings in every state: to stage them takes 0.4 s."""
    name = f"usher_staged_{secrets.token_hex(4)}"
    url = servers.create(name, template_database)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        bookings = stage_every_state(connection)
    yield Staged(name, bookings)
    servers.drop(name)


@pytest.fixture
def every_state(staged_database: Staged) -> dict[str, UUID]:
    """The test's database has bookings in every state: their ids, see stage_every_state."""
    return staged_database.bookings


@pytest.fixture
def database_url(
    servers: Servers, template_database: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    template, name = template_database, f"usher_test_{secrets.token_hex(4)}"
    if "every_state" in request.fixturenames:
        template = request.getfixturevalue("staged_database").name
    yield servers.create(name, template)
    servers.drop(name)


@pytest.fixture
def conn(database_url: str) -> Iterator[Conn]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Redis' first database; all databases are empty when the test begins."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url
