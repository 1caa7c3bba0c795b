"""Values for health checks and gauges. Limits in the queries bound their cost."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from psycopg.errors import UndefinedTable

from db.connections import Conn, many, maybe
from db.durable.jobs import list_jobs
from db.maintenance.findings import count_findings
from db.maintenance.invariants import invariants
from db.queries import load

sql = load("maintenance/health")


CIRCUIT_STATES = ("closed", "half-open", "open")


class Gauge(NamedTuple):
    """One sample."""

    name: str
    labels: dict[str, str]
    value: float


def get_version(conn: Conn) -> int:
    """The highest migration that was applied; 0: none."""
    try:
        row = maybe(conn.execute(sql.get_version))
    except UndefinedTable:
        return 0
    return int(row["version"] or 0) if row else 0


def read_gauges(conn: Conn) -> Iterator[Gauge]:
    """Read all gauges. Each query may take a second, so that it does not slow down sales."""
    conn.execute("SET LOCAL statement_timeout = '1s'")
    for row in conn.execute(sql.count_queues):
        yield Gauge("queue_depth", {"event": str(row["event_id"])}, row["waiting"])
    for row in conn.execute(sql.count_seats):
        labels = {"event": str(row["event_id"]), "state": row["state"]}
        yield Gauge("seats", labels, row["seats"])
    yield from _task_gauges(many(conn.execute(sql.count_tasks)))
    yield from _circuit_gauges(many(conn.execute(sql.list_circuits)))
    yield from _trouble_gauges(conn)
    yield from _reconciliation_gauges(conn)
    for row in conn.execute(sql.count_bookings):
        yield Gauge("bookings", {"state": row["state"]}, row["bookings"])
    found = count_findings(conn)
    for invariant in invariants():
        yield Gauge("invariant_rows", {"invariant": invariant.name}, found.get(invariant.name, 0))
    for row in conn.execute(sql.get_feed_lag):
        yield Gauge("feed_lag_seconds", {}, row["lag"])
    for job in list_jobs(conn):
        labels = {"job": job["name"]}
        yield Gauge("job_age_seconds", labels, job["age"])
        yield Gauge("job_every_seconds", labels, job["every"].total_seconds())
        yield Gauge("job_failures", labels, job["failures"])


def _reconciliation_gauges(conn: Conn) -> Iterator[Gauge]:
    for row in conn.execute(sql.count_differences):
        labels = {"kind": row["kind"], "state": row["state"]}
        yield Gauge("reconciliation_differences", labels, row["differences"])
    for row in conn.execute(sql.get_reconciliation_age):
        yield Gauge("reconciliation_age_seconds", {}, row["age"])


def _circuit_gauges(rows: list[dict[str, Any]]) -> Iterator[Gauge]:
    """Make a gauge for each state of a circuit: 1 for its present state, 0 for the others."""
    for row in rows:
        for state in CIRCUIT_STATES:
            labels = {"gateway_account": str(row["gateway_account_id"]), "state": state}
            yield Gauge("gateway_circuit", labels, row["state"] == state)


def _task_gauges(rows: list[dict[str, Any]]) -> Iterator[Gauge]:
    ages: dict[str, float] = {}
    for row in rows:
        labels = {"queue": row["queue"], "actor": row["actor"]}
        yield Gauge("outbox_depth", labels, row["depth"])
        ages[row["queue"]] = max(row["age"], ages.get(row["queue"], 0))
    for queue, age in ages.items():
        yield Gauge("outbox_age_seconds", {"queue": queue}, age)


def _trouble_gauges(conn: Conn) -> Iterator[Gauge]:
    """Read the gauges that alerts use (ops/deploy/alerts/rules.yml)."""
    for row in conn.execute(sql.count_dead_letters):
        labels = {"actor": row["actor"]}
        yield Gauge("dead_letters_open", labels, row["open"])
        yield Gauge("dead_letters_age_seconds", labels, row["age"])
    for row in conn.execute(sql.count_doubts):
        yield Gauge("payments_in_doubt", {}, row["payments"])
    for row in conn.execute(sql.list_outages):
        labels = {"gateway_account": str(row["gateway_account_id"])}
        yield Gauge("outage_seconds", labels, row["age"])
        yield Gauge("gateway_key_refused", labels, row["reason"] == "key_refused")
    for row in conn.execute(sql.measure_server):
        yield Gauge("database_bytes", {}, row["bytes"])
        yield Gauge("oldest_snapshot_seconds", {}, row["snapshot"])
        yield Gauge("deadlocks_total", {}, row["deadlocks"])
