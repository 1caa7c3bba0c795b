"""Statements of sql/queries: each is named in code, executed by one function of db/, and given what
it takes. The loader makes every name look right to mypy, so it is seen here."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from db.connections import Conn
from db.maintenance.findings import REPAIRS
from db.queries import FOLDER, load

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.sql")
)
STATEMENTS = {
    (file, name): getattr(load(file), name)
    for file in FILES
    for name in re.findall(r"^-- (\w+) --$", (FOLDER / f"{file}.sql").read_text(), re.MULTILINE)
}
FUNCTIONS = {path.stem for path in (ROOT / "sql" / "functions").rglob("*.sql")}
ALSO_ASYNC = {
    ("accounts/accounts", "list_epochs"),
    ("accounts/sessions", "list_ended"),
    ("catalogue/availability", "list_queues"),
}
"""The live process executes them, too, on connections of another kind."""
BEGINNINGS = {("maintenance/invariants", "bare"), ("maintenance/invariants", "among")}
"""What stands before each invariant."""

Statement = tuple[str, str]


@dataclass(frozen=True)
class Keys:
    """Names of parameters that a function passes; exact: these are all."""

    names: frozenset[str]
    exact: bool = True

    def __or__(self, other: "Keys") -> "Keys":
        return Keys(self.names | other.names, self.exact and other.exact)


NONE, UNKNOWN = Keys(frozenset()), Keys(frozenset(), exact=False)


@dataclass(frozen=True)
class Use:
    """A place in db/ that names a statement. values: what it is executed with, if it is there."""

    place: str
    statement: Statement
    values: ast.expr | None
    function: ast.AST


def sources(*layers: str) -> dict[str, ast.Module]:
    paths = sorted(path for layer in layers for path in (ROOT / layer).rglob("*.py"))
    assert paths, "no files: is the test looking in the right place?"
    return {path.relative_to(ROOT).as_posix(): parse(path) for path in paths}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def loaded(module: ast.Module) -> dict[str, str]:
    """Names that a module gives to files of statements."""
    return {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value.args[0])
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "load"
    }


def uses() -> list[Use]:
    return [use for place, module in sources("db").items() for use in uses_in(place, module)]


def uses_in(place: str, module: ast.Module) -> Iterator[Use]:
    files = loaded(module)
    for top in module.body:
        function = f"{place}: {getattr(top, 'name', 'module')}"
        values = {
            id(call.args[0]): call.args[1] if len(call.args) > 1 else ast.Dict([], [])
            for call in ast.walk(top)
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".execute")
        }
        for node in ast.walk(top):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in files:
                statement = (files[ast.unparse(node.value)], node.attr)
                yield Use(function, statement, values.get(id(node)), top)


def keys(expression: ast.expr, function: ast.AST) -> Keys:
    """What a dict holds, as far as its function tells."""
    match expression:
        case ast.Dict():
            found = NONE
            for key, value in zip(expression.keys, expression.values, strict=True):
                found |= keys(value, function) if key is None else named(key)
            return found
        case ast.BinOp(op=ast.BitOr()):
            return keys(expression.left, function) | keys(expression.right, function)
        case ast.Name():
            return keys_of_name(expression.id, function)
        case ast.List():
            return NONE  # by position
    return UNKNOWN


def named(key: ast.expr) -> Keys:
    return Keys(frozenset([str(key.value)])) if isinstance(key, ast.Constant) else UNKNOWN


def keys_of_name(name: str, function: ast.AST) -> Keys:
    found: list[Keys] = []
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=assigned), slice=key)]):
                found += [named(key)] if assigned == name else []
            case (
                ast.Assign(targets=[ast.Name(id=assigned)], value=value)
                | ast.AnnAssign(target=ast.Name(id=assigned), value=ast.expr() as value)
                | ast.AugAssign(target=ast.Name(id=assigned), value=value)
            ):
                found += [keys(value, function)] if assigned == name else []
    result = found[0] if found else UNKNOWN
    for more in found[1:]:
        result |= more
    return result


def parameters(statement: Statement) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", STATEMENTS[statement]))


def test_every_statement_that_is_named_exists() -> None:
    assert {use.statement for use in uses()} - set(STATEMENTS) == set()


def test_every_statement_is_executed_by_one_function() -> None:
    by_statement: dict[Statement, set[str]] = {statement: set() for statement in STATEMENTS}
    for use in uses():
        if use.statement not in ALSO_ASYNC or not use.place.startswith("db/queue/live_readings"):
            by_statement[use.statement].add(use.place)
    assert {which: by for which, by in by_statement.items() if len(by) != 1} == {}


@pytest.mark.slow
def test_statements_are_loaded_by_their_noun_alone() -> None:
    """Others call the functions of db/, so that a change of parameters is seen by mypy."""
    for place, module in sources("db", "web", "tasks", "ops", "tests").items():
        if place.startswith("db/"):
            strangers = set(loaded(module).values()) - {place[3:-3]}
            assert not strangers or place == "db/queue/live_readings.py", place
        elif place != "tests/structure/test_statements.py":
            for node in ast.walk(module):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("db."):
                    taken = {alias.name for alias in node.names}
                    assert "sql" not in taken and node.module != "db.queries", place


def test_rows_are_taken_by_one_maybe_and_many() -> None:
    """db/connections.py has them; an asynchronous connection has its own."""
    fetching = {
        place
        for place, module in sources("db").items()
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and node.attr in ("fetchone", "fetchall")
    }
    assert fetching == {"db/connections.py", "db/queue/live_readings.py"}


def test_every_statement_is_given_its_parameters() -> None:
    """As far as they are written where it is executed; a dict may be meant for several."""
    meant: dict[str, set[str]] = {}
    for use in uses():
        meant.setdefault(use.place, set()).update(parameters(use.statement))
    exact = 0
    for use in uses():
        if use.values is not None:
            given = keys(use.values, use.function)
            what = f"{use.place} executes {use.statement}"
            if given.exact:
                exact += 1
                assert parameters(use.statement) - given.names == set(), f"{what} without"
                assert given.names - meant[use.place] == set(), what
    assert exact > len(STATEMENTS) / 2


def called(body: str) -> str | None:
    """The function whose call is all of a statement."""
    text = re.sub(r"--[^\n]*", "", body).strip()
    match = re.match(r"SELECT (?:(?:\*|[\w, ]+) FROM )?(\w+)\(", text.replace("\n", " "))
    if match is None or match[1] not in FUNCTIONS:
        return None
    depth = 1
    for end in range(match.end(), len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            break
    alone = re.fullmatch(r"(?: AS \w+)?", text[end + 1 :].replace("\n", " "))
    inner = any(f"{name}(" in text[match.end() : end] for name in FUNCTIONS)
    return match[1] if alone and not inner else None


def test_a_statement_is_named_like_the_function_that_it_calls() -> None:
    calls = {statement: called(body) for statement, body in STATEMENTS.items()}
    assert sum(function is not None for function in calls.values()) > 30
    wrong = {s: function for s, function in calls.items() if function not in (None, s[1])}
    # A repair is named after the invariant that it mends.
    assert {s: function for s, function in wrong.items() if s[1] not in REPAIRS} == {}


def test_statements_fit_the_database(conn: Conn) -> None:
    """Prepared, their tables, columns and functions are looked for."""
    prepared = 0
    for statement, body in STATEMENTS.items():
        whole = f"{body}\nSELECT" if statement in BEGINNINGS else body
        problems = [prepare(conn, text) for text in numbered(whole)]
        prepared += None in problems
        assert None in problems or any(map(is_about_types, problems)) or "COPY" in body, (
            f"{statement}: {problems}"
        )
    assert prepared > 0.9 * len(STATEMENTS)


def prepare(conn: Conn, text: str) -> psycopg.Error | None:
    try:
        conn.execute(psycopg.sql.SQL("PREPARE p AS ") + psycopg.sql.SQL(text))
    except psycopg.Error as error:
        return error
    conn.execute("DEALLOCATE p")
    return None


def is_about_types(error: psycopg.Error | None) -> bool:
    """A value would tell its type."""
    return isinstance(error, errors.IndeterminateDatatype | errors.AmbiguousFunction)


def numbered(body: str) -> tuple[str, str]:
    """$1, $2 … for parameters: each of its own, since the types of one may seem to differ; and the
    same for all that are the same, since its type may be known elsewhere."""
    counter = count(1)
    names = re.findall(r"%\((\w+)\)s", body)
    own = re.sub(r"%(\(\w+\))?s", lambda match: f"${next(counter)}", body)
    same = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", body)
    return own.replace("%%", "%"), same.replace("%%", "%")
