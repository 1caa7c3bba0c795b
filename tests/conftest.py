"""What all tests have: see the modules of tests/support that are named here."""

import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from db.runtime.logs import Lines

pytest_plugins = [
    "tests.support.started",
    "tests.support.databases",
    "tests.support.faults",
    "tests.support.world",
    "tests.support.document",
    "tests.support.every_object",
    "tests.support.personal",
    "tests.support.limits",
    "tests.support.listening",
    "tests.support.sites",
    "tests.support.running",
    "tests.support.gateways",
    "tests.support.programs",
]


@pytest.fixture(autouse=True)
def logs_outlive_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What writes to a stream that capsys has closed would fail the tests that come after it."""
    yield
    if "capsys" in request.fixturenames:
        structlog.reset_defaults()
        Lines.stream = sys.stdout
        logging.basicConfig(handlers=[logging.NullHandler()], force=True)
