"""Imports run one way: web and tasks use db, ops uses all. Only settings read the environment."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "db": {"web", "tasks", "ops", "tests", "flask", "flask_smorest", "dramatiq", "stripe"},
    "web": {"tasks", "ops", "tests", "dramatiq", "stripe"},
    "tasks": {"web", "ops", "tests", "flask", "flask_smorest"},
    "ops": {"tests"},
}
KNOW_STRIPE = {
    "tasks/gateways/circuit_breaker.py",
    "tasks/gateways/stripe/accounts.py",
    "tasks/gateways/stripe/client.py",
    "tasks/gateways/stripe/connections.py",
    "tasks/gateways/stripe/lists.py",
    "tasks/gateways/stripe/payments.py",
    "tasks/gateways/stripe/refunds.py",
}
CHAPTERS = ["accounts", "catalogue", "queue", "bookings", "payments"]
"""Each may use those before it."""
USED_BY_ALL = ["durable", "mail"]
"""They use accounts, and no other chapter."""
LONGEST = 30  # lines of a function
MAY_OPEN_TO_VERIFY = {
    "db/accounts/second_factors.py",
    "web/notifications/signers.py",
    "web/oidc/providers.py",
}
"""The files that open what a request is checked with: the second factor's seed, the secret of an
account's notifications, and that with which an identity provider is asked who has signed in."""
MAY_READ_ENVIRONMENT = {Path("db/runtime/settings.py")}


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
    """Attributes (`os.environ`) and names imported from modules (`from os import environ`).
    `request.environ` is the request's."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "request":
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
        if name in FORBIDDEN[layer]
    }
    assert not wrong


def test_only_its_adapter_knows_stripe() -> None:
    """The saga knows tasks/gateways/registry.py alone, which finds the adapter."""
    tasks = {path.relative_to(ROOT).as_posix(): path for path in files_of("tasks")}
    knowing = {name for name, path in tasks.items() if "stripe" in imported_packages(path)}
    assert knowing == KNOW_STRIPE
    users = {
        name
        for name, path in tasks.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and "tasks.gateways.stripe" in "".join(dotted(node))
    }
    assert users - KNOW_STRIPE == {
        "tasks/gateways/registry.py",
        "tasks/gateways/probe.py",
        "tasks/gateways/merchants.py",
    }


def chapters_used(path: Path) -> Iterator[str]:
    """Chapters of db/ that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("db"):
            yield from ((name + ".").split(".")[1] for name in dotted(node))


@pytest.mark.parametrize("chapter", [*CHAPTERS, *USED_BY_ALL, "feed", "maintenance", "runtime"])
def test_chapters_of_db_know_those_before_them(chapter: str) -> None:
    """Feed and maintenance use all; runtime is used by all and uses none."""
    allowed = {chapter, "runtime", "connections", "queries", "presentation"}
    if chapter in CHAPTERS:
        allowed |= {*CHAPTERS[: CHAPTERS.index(chapter)], *USED_BY_ALL}
    elif chapter in USED_BY_ALL:
        allowed |= {"accounts"}
    elif chapter in ("feed", "maintenance"):
        allowed |= {*CHAPTERS, *USED_BY_ALL}
    files = files_of(f"db/{chapter}")
    assert len(files) > 1, f"db/{chapter}/ has no files: is the test looking in the right place?"
    wrong = {
        f"{path.relative_to(ROOT)} uses {name}"
        for path in files
        for name in chapters_used(path)
        if name not in allowed
    }
    assert not wrong


@pytest.mark.parametrize("layer", ["db", "web", "tasks", "ops/sandbox"])
def test_nothing_is_imported_late_to_hide_a_circle(layer: str) -> None:
    late = [
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in files_of(layer)
        for outer in ast.parse(path.read_text()).body
        for node in ast.walk(outer)
        if isinstance(node, ast.Import | ast.ImportFrom) and node is not outer
    ]
    assert late == []


@pytest.mark.parametrize("layer", ["db", "web", "tasks"])
def test_functions_are_short(layer: str) -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in files_of(layer)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST
    ]
    assert long == []


@pytest.mark.parametrize("layer", ["db", "web", "tasks"])
def test_only_settings_read_the_environment(layer: str) -> None:
    ways = {"environ", "environb", "getenv"}
    readers = {p.relative_to(ROOT) for p in files_of(layer) if ways & set(names_used(p))}
    assert readers <= MAY_READ_ENVIRONMENT


def test_secrets_are_opened_in_tasks_alone() -> None:
    """And by the console. db/ hands them on sealed."""
    names = {"open_sealed": set[str](), "open_to_verify": set[str]()}
    for layer in ("db", "web", "tasks"):
        for path in files_of(layer):
            for name in names.keys() & set(names_used(path)):
                names[name].add(path.relative_to(ROOT).as_posix())
    assert {name for name in names["open_sealed"] if not name.startswith("tasks/")} == set()
    assert names["open_to_verify"] == MAY_OPEN_TO_VERIFY
    whole = {
        path.relative_to(ROOT).as_posix()
        for layer in ("web", "db")
        for path in files_of(layer)
        if "db.runtime import sealing" in path.read_text() or "import db." in path.read_text()
    }
    assert whole == set(), "the module as a whole would hide which function is used"
