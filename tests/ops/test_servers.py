"""ops/local/servers.py: the embedded servers start, fail and stop as promised."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from ops.local.servers import Postgres, Redis, ServerError
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "pg") as server:
        yield server


def test_postgres_is_durable_and_wants_a_password(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as conn:
        rows = conn.execute("SELECT name, setting FROM pg_settings")
        settings: dict[str, str] = dict(rows.fetchall())
    assert settings["fsync"] == settings["synchronous_commit"] == "on"
    assert settings["jit"] == "off"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url.replace(postgres.password, "wrong"))


def test_postgres_keeps_what_was_committed_through_a_crash(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as conn:
        conn.execute("CREATE TABLE shows AS SELECT 7 AS id")
    postgres.restart("immediate")
    postgres.kill()
    postgres.start()
    with psycopg.connect(postgres.url) as conn:
        assert conn.execute("SELECT id FROM shows").fetchall() == [(7,)]


def test_postgres_tools_run(postgres: Postgres) -> None:
    command = [str(postgres.psql), postgres.url, "-Atc", "SELECT 6 * 7"]
    assert subprocess.check_output(command, text=True).strip() == "42"
    assert "pgbench" in subprocess.check_output([postgres.pgbench, "--version"], text=True)


def test_nothing_is_left_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Postgres(tmp_path / "pg") as server:
        home, pid = server.home, server.pid
        raise ZeroDivisionError
    assert not home.exists()
    assert not (tmp_path / "pg").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.system
def test_a_killed_run_takes_its_servers_along_and_the_next_one_starts(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_KILLED, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    pids = [int(pid) for pid in run.stdout.readline().split()]
    run.kill()
    run.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    with Postgres(tmp_path / "pg") as postgres, Redis(tmp_path / "redis") as valkey:
        psycopg.connect(postgres.url).close()
        assert redis.Redis.from_url(valkey.url).ping()


RUN_UNTIL_KILLED = """
import signal
import sys
from pathlib import Path
from ops.local.servers import Postgres, Redis
home = Path(sys.argv[1])
with Postgres(home / "pg") as postgres, Redis(home / "redis") as valkey:
    print(postgres.pid, valkey.pid, flush=True)
    signal.pause()
"""


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="invalid value"):
        Postgres(tmp_path / "pg", {"shared_buffers": "many"}).__enter__()
    assert not (tmp_path / "pg").exists()


def test_redis_can_be_paused_killed_and_restarted(tmp_path: Path) -> None:
    with Redis(tmp_path / "redis") as server:
        client = redis.Redis.from_url(server.url, socket_timeout=0.3)
        client.set("key", "value")
        server.pause()
        with pytest.raises(redis.TimeoutError):
            redis.Redis.from_url(server.url, socket_timeout=0.3, retry=None).ping()
        server.resume()
        assert client.get("key") == b"value"
        server.kill()
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(server.url).ping()
        server.start()
        assert client.get("key") is None
