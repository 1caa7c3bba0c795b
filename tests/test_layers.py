"""Imports run one way: web and tasks use db, ops uses all. Only settings read the environment."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "db": {"web", "tasks", "ops", "tests", "flask", "flask_smorest", "dramatiq", "stripe"},
    "web": {"tasks", "ops", "tests", "dramatiq", "stripe"},
    "tasks": {"web", "ops", "tests", "flask", "flask_smorest"},
    "ops": {"tests"},
}
MAY_ALSO_IMPORT = {Path("web/webhooks.py"): {"stripe"}}  # to verify signatures, nothing else
KNOW_STRIPE = {
    "breaker.py",
    "stripe_calls.py",
    "stripe_gateway.py",
    "stripe_lists.py",
    "stripe_refunds.py",
}
MAY_READ_ENVIRONMENT = {Path("db/settings.py")}


def files_of(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imported_packages(path: Path) -> Iterator[str]:
    """Top-level names that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def dotted(node: ast.ImportFrom) -> Iterator[str]:
    """What is imported, by its full name."""
    return (f"{node.module}.{alias.name}" for alias in node.names)


def names_used(path: Path) -> Iterator[str]:
    """Attributes (`os.environ`) and names imported from modules (`from os import environ`)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layers_import_one_way(layer: str) -> None:
    assert files_of(layer), f"{layer}/ has no files: is the test looking in the right place?"
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files_of(layer)
        for name in imported_packages(path)
        if name in FORBIDDEN[layer] - MAY_ALSO_IMPORT.get(path.relative_to(ROOT), set())
    }
    assert not wrong


def test_only_its_adapter_knows_stripe() -> None:
    """The saga knows tasks/gateway.py alone, which finds the adapter."""
    tasks = files_of("tasks")
    assert {path.name for path in tasks if "stripe" in imported_packages(path)} == KNOW_STRIPE
    users = {
        path.name
        for path in tasks
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and "tasks.stripe_" in "".join(dotted(node))
    }
    assert users - KNOW_STRIPE == {"gateway.py", "outages.py"}


@pytest.mark.parametrize("layer", ["db", "web", "tasks"])
def test_only_settings_read_the_environment(layer: str) -> None:
    ways = {"environ", "environb", "getenv"}
    readers = {p.relative_to(ROOT) for p in files_of(layer) if ways & set(names_used(p))}
    assert readers <= MAY_READ_ENVIRONMENT
