"""Health, readiness, metrics, request ids and log lines; and what happens when Postgres is away."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from time import monotonic

import psycopg
import pytest
import requests
from flask import Flask

from db.connections import (
    POOL_TIMEOUT,
    TO_NOTICE_LOSS,
    Conn,
    open_pool,
    pool,
    set_statement_limits,
    transaction,
)
from db.durable import jobs
from db.runtime.logs import configure_logs
from db.runtime.settings import settings
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, free_port
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, environment
from web.app import create_app
from web.support.metrics import DatabaseGauges

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def app(configured: dict[str, str]) -> Flask:
    """An app of its own, whose metrics are those of one test."""
    return create_app()


def test_it_lives_and_is_ready(anybody: Caller) -> None:
    assert anybody.get("/healthz").status_code == 200
    ready = anybody.get("/readyz")
    assert (ready.status_code, ready.json["redis"]) == (200, "ok")


def test_it_is_not_ready_before_the_migrations(anybody: Caller, conn: Conn) -> None:
    conn.execute("DELETE FROM schema_version")
    answer = anybody.get("/readyz")
    assert answer.status_code == 503
    assert "run the migrations" in answer.json["detail"]


def test_it_is_ready_without_redis(
    configured: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.cache_clear()
    ready = create_app().test_client().get("/readyz")
    assert (ready.status_code, (ready.json or {})["redis"]) == (200, "unreachable")


@pytest.mark.parametrize("given", ["trace-1.a_B", "x" * 128])
def test_a_sane_request_id_is_kept(anybody: Caller, given: str) -> None:
    answer = anybody.get("/v1/events", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", '"}', "ä"])
def test_another_request_id_is_replaced(anybody: Caller, given: str) -> None:
    headers = {"X-Request-Id": given.encode().decode("latin-1")}
    made = anybody.get("/v1/events", headers=headers).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{24}", made)


def test_each_request_has_one_line_with_its_ids(
    tosca: Sale, alice: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tosca.join(alice).json["links"]["self"]
    configure_logs("web")  # anew, onto what capsys reads
    alice.get(path, headers={"X-Request-Id": "seven"})
    (line,) = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    assert (
        line.items()
        >= {
            "request_id": "seven",
            "event_id": str(tosca.id),
            "entry_id": path.rpartition("/")[2],
            "method": "GET",
            "status": 200,
        }.items()
    )
    assert line["rule"] == "/v1/events/<id:event_id>/queue/<uuid:entry_id>"
    assert line["ms"] > 0


def test_metrics_go_by_rule_and_show_the_sale(
    tosca: Sale, alice: Caller, bob: Caller, anybody: Caller, conn: Conn
) -> None:
    tosca.book(alice, conn, seats=["1-1"])
    tosca.join(bob)
    text = anybody.get("/metrics").text
    assert f'usher_queue_depth{{event="{tosca.id}"}} 1.0' in text
    assert f'usher_seats{{event="{tosca.id}",state="held"}} 1.0' in text
    assert 'usher_bookings{state="held"} 1.0' in text
    assert "usher_payments_in_doubt 0.0" in text
    assert 'rule="/v1/events/<id:event_id>/queue"' in text
    assert str(alice.get(f"{tosca.path}/queue").request.path) not in text


@pytest.mark.faults("fuzz")
def test_methods_that_somebody_invents_are_no_errors_of_ours_and_not_counted(
    anybody: Caller,
) -> None:
    for method in ("INVENTED", "QUERY"):
        answer = anybody.call(method, "/v1/events")
        assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
        assert anybody.call(method, "/nothing").status_code == 404
        assert method not in anybody.get("/metrics").text


@pytest.mark.slow
def test_a_database_too_busy_to_count_is_not_away(
    tosca: Sale, alice: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    tosca.join(alice)
    monkeypatch.setattr(DatabaseGauges.__init__, "__defaults__", (0.0,))  # reads at each scrape
    anybody = Caller(create_app().test_client())
    depth = f'usher_queue_depth{{event="{tosca.id}"}} 1.0'
    assert depth in anybody.get("/metrics").text
    with conn.transaction():
        conn.execute("LOCK TABLE bookings")  # the last to be counted: it takes over a second
        text = anybody.get("/metrics").text
    assert "usher_database_up 1.0" in text
    assert depth in text


def test_metrics_show_tasks_that_are_due(anybody: Caller, conn: Conn) -> None:
    long_ago = "clock_timestamp() - interval '1 min'"
    conn.execute(f"SELECT enqueue('advance', 'payments', 'one', '{{}}', 1, {long_ago})")
    text = anybody.get("/metrics").text
    assert 'usher_outbox_depth{actor="advance",queue="payments"} 1.0' in text
    (age,) = re.findall(r'usher_outbox_age_seconds{queue="payments"} ([\d.]+)', text)
    assert 60 <= float(age) < 90


def test_metrics_show_which_gateways_are_away(tosca: Sale, anybody: Caller, conn: Conn) -> None:
    conn.execute("SELECT open_circuit(id, NULL, 60, 60) FROM gateway_accounts")
    text = anybody.get("/metrics").text
    states = re.findall(r'usher_gateway_circuit{gateway_account="\d+",state="(.+)"} ([\d.]+)', text)
    assert states == [("closed", "0.0"), ("half-open", "0.0"), ("open", "1.0")]


def test_metrics_show_how_long_ago_a_job_succeeded(anybody: Caller, conn: Conn) -> None:
    jobs.declare(conn, "sweep", timedelta(minutes=1))
    conn.execute("UPDATE jobs SET declared_at = clock_timestamp() - interval '1 hour'")
    jobs.fail(conn, "sweep", "no broom")
    text = anybody.get("/metrics").text
    assert 'usher_job_failures{job="sweep"} 1.0' in text
    assert 'usher_job_every_seconds{job="sweep"} 60.0' in text
    (age,) = re.findall(r'usher_job_age_seconds{job="sweep"} ([\d.]+)', text)
    assert 3600 <= float(age) < 3660


@pytest.mark.processes
def test_metrics_of_all_processes_come_together(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """A worker of Dramatiq counts in the same folder; gunicorn shows it, and ends when told."""
    env = {**os.environ, **environment(database_url, redis_url)}
    env |= {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    count = "from prometheus_client import Counter; Counter('elsewhere', 'x').inc(7)"
    subprocess.run([sys.executable, "-c", count], env=env, check=True)
    port = free_port()
    gunicorn = Path(sys.executable).with_name("gunicorn")
    command = [str(gunicorn), "-c", "web/gunicorn.py", "-b", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "web.app:create_app()"], cwd=ROOT, env=env) as server:
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 30)
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        finally:
            server.terminate()
        assert server.wait(timeout=30) == 0
    assert "elsewhere_total 7.0" in text
    assert 'usher_http_request_total{method="GET",status="200"}' in text
    assert "usher_database_up 1.0" in text


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.processes
def test_it_says_come_back_while_postgres_is_away(
    configured: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And works again as soon as Postgres does, on the connections of a pool that were cut."""
    tmp_path.chmod(0o711)
    with Postgres(tmp_path / "pg") as postgres:  # with no setting that loses commits in a crash
        url = postgres.create_database("usher")
        migrate(url)
        monkeypatch.setenv("DATABASE_URL", url)
        settings.cache_clear()
        anybody = Caller(create_app().test_client())
        assert anybody.get("/readyz").status_code == 200
        postgres.stop("immediate")
        for path in ("/readyz", "/v1/events"):
            away = anybody.get(path)
            assert away.status_code == 503
            assert int(away.headers["Retry-After"]) > 0
            assert away.json["retry_after"] == int(away.headers["Retry-After"])
        began = monotonic()
        assert [anybody.get("/v1/events").status_code for _ in range(20)] == [503] * 20
        assert monotonic() - began < 2 * POOL_TIMEOUT, "each of them waited"
        assert anybody.get("/healthz").status_code == 200
        assert "usher_database_up 0.0" in anybody.get("/metrics").text
        postgres.start()
        wait_until(lambda: anybody.get("/v1/events").status_code == 200)
        pool().close()


@pytest.mark.slow
def test_no_request_waits_long_for_a_lock(anybody: Caller, conn: Conn) -> None:
    set_statement_limits(0.2)  # nothing is connected to yet
    with conn.transaction():
        conn.execute("LOCK TABLE events")
        answer = anybody.get("/v1/events")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert anybody.get("/v1/events").status_code == 200


def test_requests_have_less_time_than_tasks(configured: dict[str, str]) -> None:
    def limits() -> tuple[str, str]:
        with pool().connection() as conn:
            row = conn.execute(
                "SELECT current_setting('statement_timeout') s, current_setting('lock_timeout') l"
            ).fetchone()
        assert row is not None
        return row["s"], row["l"]

    assert limits() == ("0", "0")
    pool().close()
    open_pool.cache_clear()
    create_app()
    assert limits() == ("5s", "5s")
    with transaction("somebody", 30) as conn:
        assert conn.execute("SHOW statement_timeout").fetchall() == [{"statement_timeout": "30s"}]
    assert limits() == ("5s", "5s")


def test_a_server_that_vanished_is_noticed(app: Flask) -> None:
    """TCP would wait for two hours, or for fifteen minutes once something was sent."""
    with pool().connection() as conn:
        given = conn.info.get_parameters()
    assert TO_NOTICE_LOSS.items() <= {k: int(v) for k, v in given.items() if v.isdigit()}.items()


def test_an_unhandled_exception_is_a_problem_without_details(
    anybody: Caller, conn: Conn, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("web")
    conn.execute("ALTER TABLE events RENAME TO shows")
    answer = anybody.get("/v1/events")
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "events" not in answer.json["detail"]
    assert psycopg.errors.UndefinedTable.__name__ in capsys.readouterr().out
