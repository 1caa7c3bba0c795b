"""The documents say what is so: pictures are those of the database, decisions have their date."""

import re
from pathlib import Path

import pytest

from db.connections import Conn
from ops.docs.states import PAGE, read_moves, redraw

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "ops" / "docs"


def test_states_are_drawn_from_legal_moves(conn: Conn) -> None:
    assert redraw(PAGE.read_text(), read_moves(conn)) == PAGE.read_text(), "run: make docs"


def test_a_state_without_a_sentence_is_an_error(conn: Conn) -> None:
    page = PAGE.read_text().replace("| `frozen` |", "| `icy` |")
    with pytest.raises(ValueError, match="booking"):
        redraw(page, read_moves(conn))


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
