"""/metrics: the web processes' requests, the workers' tasks, and gauges read from Postgres."""

import hmac
from collections.abc import Iterator
from ipaddress import ip_address
from time import monotonic

import psycopg
from flask import Flask, Response, abort, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from psycopg.errors import LockNotAvailable, QueryCanceled
from psycopg_pool import PoolTimeout

from db.connections import transaction
from db.maintenance.health import Gauge, read_gauges
from db.runtime.settings import settings
from web.support.request_metrics import RequestMetrics

GAUGES = {
    "queue_depth": ("Entries waiting, up to 10,000 an event", ["event"]),
    "seats": ("Seats of events on sale", ["event", "state"]),
    "outbox_depth": ("Durable tasks that are due and not leased", ["queue", "actor"]),
    "outbox_age_seconds": ("How late the oldest due task is", ["queue"]),
    "gateway_circuit": (
        "The state of a gateway account's circuit, for all workers",
        ["gateway_account", "state"],
    ),
    "dead_letters_open": ("Dead letters that are not resolved", ["actor"]),
    "dead_letters_age_seconds": ("How long the oldest of them waits", ["actor"]),
    "payments_in_doubt": ("Payments whose outcome has been unknown for 5 minutes", []),
    "outage_seconds": ("Duration of a gateway's present outage", ["gateway_account"]),
    "gateway_key_refused": ("The gateway does not accept an account's key", ["gateway_account"]),
    "database_bytes": ("Size of the database on disk", []),
    "oldest_snapshot_seconds": ("Age of the oldest transaction that prevents vacuuming", []),
    "deadlocks_total": ("Transactions that Postgres ended because of a deadlock", []),
    "reconciliation_differences": (
        "Differences to the gateway by kind; state: repairing, reported or gone",
        ["kind", "state"],
    ),
    "reconciliation_age_seconds": ("Time since the last finished reconciliation", []),
    "feed_lag_seconds": ("Since the moment up to which the feed is told; at rest at most 12", []),
    "bookings": ("Bookings of events on sale", ["state"]),
    "invariant_rows": ("Open findings of the auditor: violated invariants", ["invariant"]),
    "job_age_seconds": ("Since a periodic job last succeeded", ["job"]),
    "job_every_seconds": ("How often a periodic job is to run", ["job"]),
    "job_failures": ("How often a periodic job has failed in a row", ["job"]),
}


class DatabaseGauges(Collector):
    """Gauges from Postgres, read at most every `seconds` for any number of scrapes."""

    def __init__(self, seconds: float = 10) -> None:
        self._seconds = seconds
        self._read_at = -seconds
        self._gauges: list[Gauge] = []
        self._reachable = True

    def collect(self) -> Iterator[Metric]:
        if monotonic() - self._read_at >= self._seconds:
            self._read()
        yield GaugeMetricFamily(
            "usher_database_up", "Whether the gauges could be read", value=self._reachable
        )
        for name, (help_text, labels) in GAUGES.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(f"usher_{name}", help_text, labels=labels)
            for gauge in self._gauges:
                if gauge.name == name:
                    family.add_metric([gauge.labels[label] for label in labels], gauge.value)
            yield family

    def _read(self) -> None:
        self._read_at = monotonic()
        try:
            with transaction() as conn:
                self._gauges, self._reachable = list(read_gauges(conn)), True
        except (QueryCanceled, LockNotAvailable):
            self._reachable = True  # the database is only too busy: keep the last counts
        except (psycopg.OperationalError, PoolTimeout):
            self._gauges, self._reachable = [], False


def measure_requests(app: Flask) -> Counter:
    """Count and time requests by rule, not by path, since there is no limit to paths.

    Returns a counter for documents that are answered without being counted so (web/fast_path.py).
    """
    registry = CollectorRegistry()
    counted = RequestMetrics(registry)
    app.extensions["request_metrics"] = counted
    gauges = DatabaseGauges()
    app.add_url_rule("/metrics", "metrics", lambda: _answer_scrape(registry, counted, gauges))
    help_text = "Queue documents served by the fast path"
    return Counter("usher_queue_documents_served", help_text, registry=registry)


def _answer_scrape(
    own: CollectorRegistry, metrics: RequestMetrics, gauges: DatabaseGauges
) -> Response:
    forwarded = any(name in request.headers for name in FORWARDED)
    if not may_scrape(request.headers.get("Authorization", ""), request.remote_addr, forwarded):
        abort(404)
    metrics.add_up()
    return _scrape(own, gauges)


FORWARDED = ("X-Forwarded-For", "Forwarded", "Via")


def may_scrape(authorization: str, peer: str | None, forwarded: bool) -> bool:
    """Whether the metrics are shown: with METRICS_TOKEN, or, where none is set, to a peer of the
    private network that asks without a proxy."""
    if token := settings().metrics_token:
        return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
    try:
        return not forwarded and ip_address(peer or "").is_private
    except ValueError:
        return False


def _scrape(own: CollectorRegistry, gauges: DatabaseGauges) -> Response:
    """Metrics of all processes that share the folder, Dramatiq's workers too; or of this one."""
    shared = settings().prometheus_multiproc_dir
    counted = CollectorRegistry() if shared else own
    if shared:
        MultiProcessCollector(counted, shared)  # type: ignore[no-untyped-call]
    looked_up = CollectorRegistry()
    looked_up.register(gauges)
    text = generate_latest(counted) + generate_latest(looked_up)
    return Response(text, content_type=CONTENT_TYPE_LATEST)
