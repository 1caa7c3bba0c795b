"""Requests are counted by each thread for itself, and none is lost."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ops.local.supervisor import ROOT
from tests.support.world import environment
from web.app import create_app
from web.support.request_metrics import BUCKETS, RequestMetrics

THREADS, REQUESTS = 8, 10_000
ROUTE = 'method="GET",rule="/healthz",status="200"'


def counts(text: str, route: str = ROUTE) -> tuple[float, float, float]:
    """A route's requests as the histogram counts them, the seconds that they took, and all requests
    of the same status."""
    found = [
        float(number)
        for name, labels in (
            ("usher_http_request_duration_seconds_count", route),
            ("usher_http_request_duration_seconds_sum", route),
            ("usher_http_request_total", re.sub(',rule="[^"]*"', "", route)),
        )
        for number in re.findall(rf"^{name}{{{re.escape(labels)}}} (\S+)$", text, re.MULTILINE)
    ]
    assert len(found) == 3, text
    return found[0], found[1], found[2]


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
def test_ten_thousand_requests_of_eight_threads_are_ten_thousand() -> None:
    app = create_app()

    def ask(times: int) -> None:
        client = app.test_client()
        for _ in range(times):
            assert client.get("/healthz").status_code == 200

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(ask, [REQUESTS // THREADS] * THREADS))
    requests, seconds, of_status = counts(app.test_client().get("/metrics").text)
    assert requests == of_status == REQUESTS
    assert seconds > 0


def test_what_was_added_is_not_added_again_and_what_came_meanwhile_is() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    for _ in range(3):
        metrics.count("GET", "/healthz", 200, 0.003)
        metrics.add_up()
        metrics.add_up()
    with ThreadPoolExecutor(1) as thread:  # which has ended before its counts are added
        thread.submit(metrics.count, "GET", "/healthz", 200, 0.5).result()
    metrics.add_up()
    metrics.add_up()
    requests, seconds, of_status = counts(generate_latest(registry).decode())
    assert (requests, of_status) == (4, 4)
    assert seconds == pytest.approx(0.509)
    assert metrics._threads == metrics._threads[:1], "the ended thread is kept"


def test_times_are_in_the_buckets_of_the_exporter() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    for seconds in (0, BUCKETS[0], BUCKETS[0] + 1e-9, BUCKETS[-1], BUCKETS[-1] + 1):
        metrics.count("POST", None, 404, seconds)
    metrics.add_up()
    text = generate_latest(registry).decode()
    below = dict(
        re.findall(r'_bucket{le="(\S+)",method="POST",rule="none",status="404"} (\S+)', text)
    )
    wanted = {"0.001": 2, "0.0025": 3, "5.0": 3, "10.0": 4, "+Inf": 5}
    assert {le: float(below[le]) for le in wanted} == wanted


def test_a_method_that_http_does_not_have_makes_no_series() -> None:
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    metrics.count("BREW", None, 405, 0.1)
    metrics.add_up()
    assert "BREW" not in generate_latest(registry).decode()


LAST_WORDS = """
from web.app import create_app
client = create_app().test_client()
for _ in range(7):
    client.get("/healthz")
"""


@pytest.mark.processes
def test_a_process_that_ends_leaves_its_counts(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {**os.environ, **environment(database_url, redis_url)}
    env |= {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", LAST_WORDS], env=env, cwd=ROOT, check=True)
    collect = (
        "from prometheus_client import CollectorRegistry as R, generate_latest, multiprocess\n"
        f"registry = R(); multiprocess.MultiProcessCollector(registry, {str(tmp_path)!r})\n"
        "print(generate_latest(registry).decode())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", collect], env=env, capture_output=True, text=True, check=True
    )
    assert counts(shown.stdout)[0] == 7
