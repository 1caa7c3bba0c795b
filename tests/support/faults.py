"""`make faults`: the tests that keep known faults away, and a list of what each of them expects."""

import re
from typing import cast

import pytest

OUTCOMES: dict[tuple[str, str], set[str]] = {}
"""By entry and what is expected: the outcomes of a test's cases."""


def pytest_addoption(parser: pytest.Parser) -> None:
    message = "run the tests that are marked `faults` alone, and list what they expect"
    parser.addoption("--faults", action="store_true", help=message)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--faults"):
        items[:] = [item for item in items if item.get_closest_marker("faults")]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the test's reports carry what is listed, also from another process."""
    if mark := item.get_closest_marker("faults"):
        item.user_properties.append(("fault", (mark.args[0], expectation(item))))


def expectation(item: pytest.Item) -> str:
    """The test's name in words, without its parameters."""
    return item.name.partition("[")[0].removeprefix("test_").replace("_", " ")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, fault in report.user_properties:
        if name == "fault" and (report.when == "call" or report.outcome != "passed"):
            entry, expected = cast(tuple[str, str], fault)
            OUTCOMES.setdefault((entry, expected), set()).add(report.outcome)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.getoption("--faults"):
        return
    terminalreporter.section("what was wrong once, and what is expected now")
    for (entry, expected), outcomes in sorted(OUTCOMES.items(), key=lambda each: order(*each[0])):
        worst = next(name for name in ("failed", "skipped", "passed") if name in outcomes)
        terminalreporter.write_line(f"{worst:8}{entry:20.20} {expected}")


def order(entry: str, expected: str) -> tuple[bool, str, int, str]:
    """Lettered entries in the order of their numbers, then the others by name."""
    found = re.fullmatch(r"([A-Z])(\d+)", entry)
    return (not found, found[1] if found else entry, int(found[2]) if found else 0, expected)
