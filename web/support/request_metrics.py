"""Counts and times of requests, in the metrics of prometheus_flask_exporter.

The exporter writes to several series at each request, and with PROMETHEUS_MULTIPROC_DIR to a shared
file each time. Here each thread counts for itself, which needs no lock, and the counts are added to
the exporter's metrics once a second, when this process is scraped, and at its end.
"""

import atexit
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock, Thread, current_thread, local
from typing import cast
from weakref import WeakSet

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_flask_exporter import PrometheusMetrics

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
EACH = 1.0  # seconds

log = structlog.get_logger()

Labels = tuple[str, str, int]
"""A request's method, rule and status."""


@dataclass(slots=True)
class Series:
    """What a thread has counted: requests by the bucket of their time, and their seconds in all.
    `added` is what of it the metrics have."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    added: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    added_seconds: float = 0.0


Counted = dict[Labels, Series]


class Own(local):
    """The counts of the thread that asks for them."""

    def __init__(self, register: Callable[[Thread, Counted], None]) -> None:
        self.counted: Counted = {}
        register(current_thread(), self.counted)


class Hookless:
    """Stands in for the app, so that the exporter makes its metrics and measures nothing itself."""

    def before_request(self, hook: object) -> None: ...

    after_request = teardown_request = before_request


class RequestMetrics:
    """The exporter's metrics of one app, and what was counted for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        exporter = PrometheusMetrics(None, registry=registry)
        exporter.export_defaults(BUCKETS, "rule", prefix="usher", app=Hookless())
        known = registry._names_to_collectors
        self._times = cast(Histogram, known["usher_http_request_duration_seconds"])
        self._totals = cast(Counter, known["usher_http_request_total"])
        self._exceptions = cast(Counter, known["usher_http_request_exceptions_total"])
        self._threads: list[tuple[Thread, Counted]] = []
        self._own = Own(self._register)
        self._adding = Lock()

    def count(self, method: str, rule: str | None, status: int, seconds: float) -> None:
        """Count a request. A method that HTTP does not have is left out, since each invented one
        would make a series."""
        if method not in METHODS:
            return
        counted, labels = self._own.counted, (method, rule or "none", status)
        series = counted.get(labels)
        if series is None:
            series = counted[labels] = Series()
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds

    def count_exception(self, method: str) -> None:
        """Count a request that no handler of errors has answered."""
        if method in METHODS:
            self._exceptions.labels(method=method, status=500).inc()

    def add_up(self) -> None:
        """Add what threads have counted since the last time, each request once."""
        with self._adding:
            for thread, counted in list(self._threads):
                has_ended = not thread.is_alive()  # before its counts are read
                for labels, series in list(counted.items()):
                    self._add(labels, series)
                if has_ended:
                    self._threads.remove((thread, counted))

    def _register(self, thread: Thread, counted: Counted) -> None:
        self._threads.append((thread, counted))
        add_up_regularly(self)

    def _add(self, labels: Labels, series: Series) -> None:
        buckets, seconds = list(series.buckets), series.seconds
        if buckets == series.added:
            return
        method, rule, status = labels
        times = self._times.labels(method=method, rule=rule, status=status)
        for value, more in zip(times._buckets, _less(buckets, series.added), strict=True):
            if more:
                value.inc(more)
        times._sum.inc(seconds - series.added_seconds)
        more_requests = sum(buckets) - sum(series.added)
        self._totals.labels(method=method, status=status).inc(more_requests)
        series.added, series.added_seconds = buckets, seconds


def _less(counts: list[int], others: list[int]) -> Iterator[int]:
    return (count - other for count, other in zip(counts, others, strict=True))


_used: WeakSet[RequestMetrics] = WeakSet()
_adding_in: set[int] = set()
"""The process in which a thread adds up: not that of its parent."""
_beginning = Lock()


def add_up_regularly(metrics: RequestMetrics) -> None:
    """Add up once a second from now on, by one thread for all apps of this process."""
    with _beginning:
        _used.add(metrics)
        if os.getpid() not in _adding_in:
            _adding_in.add(os.getpid())
            Thread(target=_add_up_each_second, name="request metrics", daemon=True).start()


def _add_up_each_second() -> None:
    while True:
        time.sleep(EACH)
        try:
            add_up_all()
        except Exception as error:  # the next time adds what this one has left
            log.error("requests not counted", exc_info=error)


@atexit.register
def add_up_all() -> None:
    with _beginning:
        used = list(_used)
    for metrics in used:
        metrics.add_up()
