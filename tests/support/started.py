"""Which tests start processes: only those that are marked `processes` or `system`."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

PROCESSES = {"catcher_process", "gateway_sandbox", "live"}
"""Fixtures that start processes: tests that use them are marked `processes`."""
WITHOUT_DATABASE = {"catcher_process", "gateway_sandbox"}
"""Those of them whose processes know nothing of the test's database."""
started: list[str] = []
"""The programs that the test that is running has started, its fixtures included."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if used := PROCESSES & set(item.fixturenames):
            item.add_marker(pytest.mark.processes(database=not used <= WITHOUT_DATABASE))


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
