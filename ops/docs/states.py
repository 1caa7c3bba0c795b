"""Draw the state machines of ops/docs/states.md from the table `legal_moves`.

    make docs

Rewrites the pictures and keeps the sentences. States are drawn in the order of their sentences, so
a state without a sentence is an error.
"""

import re
import tempfile
from collections import defaultdict
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from db.connections import Conn
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres

PAGE = Path(__file__).with_name("states.md")

BEGINS = {
    "entry": ["lobby", "waiting", "admitted"],
    "seat": ["free"],
    "booking": ["held", "confirmed"],
    "payment": ["intended", "requires_action"],
    "refund": ["pending", "succeeded"],
}
"""The states in which a row can be inserted; the database has no table of them."""

MACHINE = re.compile(r"^## (\w+)\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"(?<=^```mermaid\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"^\| `(\w+)` \| \S", re.MULTILINE)

Moves = dict[str, set[tuple[str, str]]]
"""By noun: (old state, new state)."""


def read_moves(conn: Conn) -> Moves:
    """Every legal move of every machine."""
    moves: Moves = defaultdict(set)
    for row in conn.execute("SELECT noun, old_state, new_state FROM legal_moves"):
        moves[row["noun"]].add((row["old_state"], row["new_state"]))
    return moves


def redraw(page: str, moves: Moves) -> str:
    """Draw each picture of the page anew.

    Errors: ValueError when the page and `legal_moves` differ in their machines or states.
    """
    described = set(MACHINE.findall(page))
    if described != moves.keys():
        raise ValueError(f"described are {sorted(described)}, legal_moves has {sorted(moves)}")
    return MACHINE.sub(lambda section: redraw_machine(section, moves[section[1]]), page)


def redraw_machine(section: re.Match[str], moves: set[tuple[str, str]]) -> str:
    """Draw the picture of one section anew."""
    states = SENTENCE.findall(section[0])
    known = {state for move in moves for state in move}
    if set(states) != known:
        raise ValueError(f"{section[1]}: sentences for {states}, moves between {sorted(known)}")
    picture = draw(moves, states, BEGINS[section[1]])
    return PICTURE.sub(lambda _: picture, section[0])


def draw(moves: set[tuple[str, str]], states: list[str], begins: list[str]) -> str:
    """Draw a mermaid picture; a state without a move to another is an end."""
    arrows = [("[*]", state) for state in begins]
    arrows += sorted(moves, key=lambda move: (states.index(move[0]), states.index(move[1])))
    left = {old for old, _ in moves}
    arrows += [(state, "[*]") for state in states if state not in left]
    return "stateDiagram-v2\n" + "".join(f"    {old} --> {new}\n" for old, new in arrows)


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="usher-docs-") as folder,
        Postgres(Path(folder) / "pg") as postgres,
    ):
        migrate(postgres.url)
        with psycopg.connect(postgres.url, row_factory=dict_row) as conn:
            PAGE.write_text(redraw(PAGE.read_text(), read_moves(conn)))


if __name__ == "__main__":
    main()
