"""The saga can be read from top to bottom: its table of steps, its steps, their compensations."""

import ast
from pathlib import Path

SAGA = Path(__file__).resolve().parents[2] / "tasks" / "bookings.py"
BODY = ast.parse(SAGA.read_text()).body
FUNCTIONS = [node.name for node in BODY if isinstance(node, ast.FunctionDef)]


def table(name: str) -> ast.Dict:
    (found,) = [
        node.value
        for node in BODY
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name
    ]
    assert isinstance(found, ast.Dict)
    return found


def test_it_begins_with_the_table_of_steps() -> None:
    first = next(node for node in BODY if isinstance(node, ast.AnnAssign | ast.FunctionDef))
    assert isinstance(first, ast.AnnAssign) and ast.unparse(first.target) == "STEPS"


def test_its_steps_come_in_order_and_the_compensations_after_them() -> None:
    steps = ["authorise", "secure", "capture", "issue"]
    assert [name for name in FUNCTIONS if name in steps] == steps
    compensations = {"end_uncaptured", "reopen_or_end", "withdraw", "release", "void"}
    assert compensations <= set(FUNCTIONS[FUNCTIONS.index("issue") :])


def test_a_step_is_the_function_of_its_name() -> None:
    names = {ast.unparse(key): ast.unparse(step) for key, step in rows(table("FUNCTIONS"))}
    assert names and names == {repr(name): name for name in names.values()}
    assert set(names.values()) <= set(FUNCTIONS)


def rows(found: ast.Dict) -> list[tuple[ast.expr, ast.expr]]:
    return [(key, value) for key, value in zip(found.keys, found.values, strict=True) if key]
