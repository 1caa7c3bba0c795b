"""What tests share is in tests/support, or in a conftest.py; no test file imports another."""

import ast
from pathlib import Path

import pytest

from db.runtime.settings import read_settings
from ops.local.supervisor import ROOT
from tests.support.world import anywhere, environment

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it, and the names that may be modules."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.slow
def test_no_test_file_imports_another() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in TESTS}
    assert len(modules) > 60
    wrong = {path.name: found for path in TESTS if (found := imported(path) & modules)}
    assert wrong == {}


def test_tests_share_an_app() -> None:
    """An app of its own for each test would take 40 percent of the suite's time."""
    one, other = (
        anywhere(read_settings(environment(f"postgresql://here/{name}", "redis://here")))
        for name in ("one", "other")
    )
    assert one == other
