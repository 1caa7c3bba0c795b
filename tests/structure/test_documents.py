"""Documents are held to the code: paths and commands exist, walks can be walked, pictures are those
of the database, decisions have their date."""

import re
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest

from db.connections import Conn
from db.presentation.gateway_words import NOTIFICATION_TYPES
from db.runtime.settings import Settings
from ops.demo.report import SENTENCES
from ops.docs.states import PAGE, read_moves, redraw
from tests.structure.references import ROOT, links, names, paths_in_code, walks

DOCS = ROOT / "ops" / "docs"
PAGES = [
    str(page.relative_to(ROOT))
    for page in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted(DOCS.rglob("*.md")),
    ]
]


def test_states_are_drawn_from_legal_moves(conn: Conn) -> None:
    assert redraw(PAGE.read_text(), read_moves(conn)) == PAGE.read_text(), "run: make docs"


def test_a_state_without_a_sentence_is_an_error(conn: Conn) -> None:
    page = PAGE.read_text().replace("| `frozen` |", "| `icy` |")
    with pytest.raises(ValueError, match="booking"):
        redraw(page, read_moves(conn))


def test_each_setting_is_described() -> None:
    page = (DOCS / "running.md").read_text()
    names = {field.name.upper() for field in fields(Settings)} - {"DYNO", "DIE_AT", "TASK_PACE"}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_each_line_of_the_demo_is_explained() -> None:
    """In README, in the order of the report."""
    table = (ROOT / "README.md").read_text().partition("| Line | Meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) == list(SENTENCES)


def test_each_type_that_stripe_is_to_tell_of_is_listed() -> None:
    page = (DOCS / "running.md").read_text().partition("## Stripe's events")[2].partition("## ")[0]
    assert re.findall(r"`((?:\w+\.)+\w+)`", page) == list(NOTIFICATION_TYPES)


def test_each_process_type_is_described() -> None:
    types = re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE)
    page = (DOCS / "running.md").read_text()
    assert [name for name in types if f"\n| `{name}` |" not in page] == []


@pytest.mark.parametrize("path", sorted((DOCS / "decisions").glob("*.md")), ids=lambda p: p.stem)
def test_each_decision_has_its_date(path: Path) -> None:
    headings = re.findall(r"^## .*", path.read_text(), re.MULTILINE)
    assert headings
    assert [h for h in headings if not re.search(r" \(\d{4}-\d{2}-\d{2}\)$", h)] == []


def test_the_glossary_is_in_alphabetical_order() -> None:
    chapters = (DOCS / "glossary.md").read_text().split("\n## ")[1:]
    assert len(chapters) > 1
    for chapter in chapters:
        terms = re.findall(r"^- \*\*([^*]+)\*\*: ", chapter, re.MULTILINE)
        assert terms == sorted(set(terms), key=str.lower)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_path_that_a_document_names_exists(page: str) -> None:
    path = ROOT / page
    missing = [target for target in links(path) if not (path.parent / target).exists()]
    missing += [code for code in paths_in_code(path) if not is_there(code)]
    assert missing == []


def is_there(code: str) -> bool:
    """Whether a path exists, or a pattern has matches, and the test that it names is in it."""
    file, _, test = code.partition("::")
    found = sorted(ROOT.glob(file.rstrip("/")))
    return bool(found) and (not test or f"def {test}(" in found[0].read_text())


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_command_that_a_document_names_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)) <= set(targets)
    for module in re.findall(r"python -m (ops[\w.]*)", text):
        assert find_spec(module), module


WALKS = walks(DOCS / "design.md")
MOST_FILES = {"From a join to its e-mail": 40, "A refund": 18, "A notification": 11}


def test_there_are_three_walks() -> None:
    assert WALKS.keys() == MOST_FILES.keys()


@pytest.mark.parametrize("title", WALKS)
def test_each_file_of_a_walk_names_the_next(title: str) -> None:
    first, *others = WALKS[title]  # a walk begins at a process of the Procfile, or at a view
    assert first.named_by == "Procfile" or first.path.startswith("web/api/")
    seen = [first.path]
    for step in others:
        assert step.named_by in [*seen, "Procfile"], f"{step.path}: {step.named_by} is not above"
        assert names(step.named_by, step.path), f"{step.named_by} does not name {step.path}"
        seen.append(step.path)
    assert len(seen) == len(set(seen)) <= MOST_FILES[title]


def test_a_file_that_does_not_name_the_next_is_noticed() -> None:
    assert names("tasks/relay.py", "tasks/main.py")
    assert not names("tasks/relay.py", "web/app.py")
