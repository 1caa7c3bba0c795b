"""What documents say about files: the paths that they name, and the walks through them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)\)")
AT_ROOT = re.compile(r"(web|tasks|db|sql|ops|tests|\.ci)/|[\w.-]+\.(md|in|cfg|toml|txt)$")
PLACEHOLDER = re.compile(r"[<>{}$… ]")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    """Relative links of a document."""
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            yield target


def paths_in_code(page: Path) -> Iterator[str]:
    """`code` that is a path from the root, with a test's name where there is one (`path::test`)."""
    for code in CODE.findall(FENCE.sub("", page.read_text())):
        if AT_ROOT.match(code) and not PLACEHOLDER.search(code):
            yield code


@dataclass(frozen=True)
class Step:
    """A file of a walk, and the file before it that names it."""

    path: str
    named_by: str | None


WALK = re.compile(r"^### (.+?)\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"^\d+\. `([^`]+)`(?: \(from `([^`]+)`\))?", re.MULTILINE)


def walks(page: Path) -> dict[str, list[Step]]:
    """By title, the numbered lists of the section "Walks". An item is named by the one before it,
    unless it says from where."""
    section = page.read_text().partition("\n## Walks\n")[2].partition("\n## ")[0]
    return {title: list(steps(text)) for title, text in WALK.findall(section)}


def steps(text: str) -> Iterator[Step]:
    before = None
    for path, source in ITEM.findall(text):
        yield Step(path, source or before)
        before = path


def names(first: str, second: str) -> bool:
    """Whether the text of a file leads to another file: it imports the module, executes one of the
    statements, calls one of the functions, writes the table of the triggers, or names the template.
    """
    text, target = (ROOT / first).read_text(), ROOT / second
    if target.suffix == ".py":
        module = second.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if first.endswith(".py"):
            return module in imported(first)
        return has_word(text, module) or any(f"'{name}'" in text for name in defined(second))
    if second.startswith("sql/queries/"):
        noun = second.removeprefix("sql/queries/").removesuffix(".sql")
        executed = (f".{name}" in text for name in named(r"^-- (\w+) --$", target))
        return f'load("{noun}")' in text and any(executed)
    if second.startswith("sql/functions/"):
        called = named(r"^create or replace function (\w+)", target)
        return any(re.search(rf"\b{name}\s*\(", text) for name in called)
    if second.startswith("sql/triggers/"):
        return bool(re.search(rf"\b(update|insert into)\s+{target.stem}\b", text, re.IGNORECASE))
    return has_word(text, target.stem)


def has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(word)}(?![\w])", text) is not None


def named(pattern: str, path: Path) -> list[str]:
    return re.findall(pattern, path.read_text(), re.MULTILINE)


@cache
def imported(path: str) -> set[str]:
    """Modules that a Python file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def defined(path: str) -> list[str]:
    """Functions of a Python file, among them its actors."""
    tree = ast.parse((ROOT / path).read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
