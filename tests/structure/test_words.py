"""One word for one concept (ops/docs/glossary.md): words that were retired do not come back."""

import re
from collections.abc import Iterator

import pytest

from tests.structure.references import ROOT

RETIRED = {
    "whoever|somebody|nobody|anybody": "the thing that acts: a worker, a buyer, a lane",
    "seller|sellers": "organisation",
    "hall|halls": "venue, plan or event",
    "hold_suspect|suspicion|thaw|thawed": "freeze, unfreeze, fraud_warning",
    "odd money|late money|stray money|wrong money|stop_odd": "unexpected payment",
    "return_money": "refund_unexpected",
    "bury|buried|call_out|call_for_help|put aside": "dead_letter",
    "surprise|what must never be": "unhandled exception, invariant violated",
    "shortcut|shorten": "fast_path, serve_fast_path",
    "check_if_spoken_to": "check_if_closed",
    "hurry": "set_statement_limits",
    "queue_ticket|queueticket": "queue_token",
    "gateway_id": "gateway_ref",
}
"""Patterns of whole words, whatever their case, and what to say instead."""

STAYS = {"gateway_id", "seller", "queue_ticket"}
"""Names in the API's JSON: allowed in quotes, and where a field is declared."""

FOLDERS = ("web", "tasks", "db", "sql")
WORD = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b", re.IGNORECASE)


def find_retired(text: str) -> Iterator[tuple[int, str]]:
    """The line and the word of each use."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in WORD.finditer(line):
            word = found[0].lower()
            around = line[: found.start()][-1:] + line[found.end() :][:1]
            is_field = around in ("''", '""') or re.match(r"\s*\w+ = fields\.", line)
            if not (word in STAYS and is_field):
                yield number, word


def advice(word: str) -> str:
    return next(say for words, say in RETIRED.items() if re.fullmatch(words, word))


def test_retired_words_stay_retired() -> None:
    uses = [
        f"{path.relative_to(ROOT)}:{number}: {word}: say {advice(word)}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".sql", ".txt")
        for number, word in find_retired(path.read_text())
    ]
    assert uses == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# Whoever comes first", ["whoever"]),
        ("seats as the seller has them", ["seller"]),
        ("    seller = fields.String()", []),
        ("select jsonb_build_object('seller', o.name)", []),
        ("payment.gateway_id", ["gateway_id"]),
        ("where whatever_hall is null", []),
    ],
)
def test_words_are_found_whole_and_fields_are_left(line: str, words: list[str]) -> None:
    assert [word for _, word in find_retired(line)] == words
