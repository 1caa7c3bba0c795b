"""The enumerations of the API are those of the tables and of the code."""

import ast
import re
from collections.abc import Iterator

import pytest

from db.accounts.rights import OF_KEYS
from db.maintenance.reports import report_names
from tests.structure.references import ROOT
from web.support import enumerations as e
from web.support.problems import REASON

SCHEMA = (ROOT / "sql" / "schema.sql").read_text()

COLUMNS = {
    "sessions_carrier": e.CARRIER,
    "sessions_authenticated_by": e.AUTHENTICATED_BY,
    "erasures_because": e.ERASURE_REASON,
    "events_state": e.EVENT_STATE,
    "entries_state": e.ENTRY_STATE,
    "entries_pass_state": e.PASS_STATE,
    "bookings_state": e.BOOKING_STATE,
    "payments_state": e.PAYMENT_STATE,
    "refunds_state": e.REFUND_STATE,
    "refunds_cause": e.REFUND_CAUSE,
    "emails_state": e.MAIL_STATE,
    "organisations_review_ends": e.DECISION,
    "review_rules_action": e.RULE_ACTION,
    "review_rules_rule": e.REVIEW_RULE,
    "reconciliations_cause": e.RUN_CAUSE,
    "reconciliations_state": e.RUN_STATE,
    "reconciliations_phase": e.RUN_PHASE,
    "events_payment_methods": e.METHOD,
    "plan_imports_state": e.IMPORT_STATE,
}


@pytest.mark.parametrize("column", COLUMNS)
def test_an_enumeration_is_that_of_its_column(column: str) -> None:
    check = re.search(rf"CONSTRAINT {column}_check CHECK \((.*)\),?\n", SCHEMA)
    assert check
    assert set(re.findall(r"'([^']+)'", check[1])) == set(COLUMNS[column].words)


def test_roles_of_keys_are_those_of_the_rights() -> None:
    check = re.search(r"CONSTRAINT api_keys_role_check CHECK \((.*)\),?\n", SCHEMA)
    assert check
    assert set(re.findall(r"'([^']+)'", check[1])) == set(OF_KEYS)


@pytest.mark.parametrize("table", ["memberships", "invitations"])
def test_roles_of_people_are_those_of_the_rights(table: str) -> None:
    check = re.search(rf"CONSTRAINT {table}_role_check CHECK \((.*)\),?\n", SCHEMA)
    assert check
    assert set(re.findall(r"'([^']+)'", check[1])) == set(e.MEMBER_ROLE.words)


def test_tickets_are_on_hold_besides_what_their_table_says() -> None:
    assert "tickets_state_check CHECK (state = ANY (ARRAY['valid'::text, 'void'::text]))" in SCHEMA
    assert set(e.TICKET_STATE.words) == {"valid", "void", "on_hold"}


def test_names_of_files_are_enumerations() -> None:
    assert list(e.REPORT.words) == report_names()
    templates = {path.stem for path in (ROOT / "tasks/mail/templates").glob("*.txt")}
    assert set(e.MAIL_TEMPLATE.words) == templates - {"booking"}


def strings(*folders: str) -> Iterator[str]:
    """Literals in the code of these folders, but for the enumerations themselves."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name not in ("problems.py", "enumerations.py"):
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        yield node.value


def raised() -> Iterator[str]:
    """Reasons that are written where an error is raised."""
    for path in sorted((ROOT / "db").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
                if node.func.id == "Conflict":
                    given += node.args[1:2]
                if node.func.id in ("Conflict", "InvalidRequest", "NotAllowed", "TooManyTries"):
                    yield from (
                        value.value
                        for value in given
                        if isinstance(value, ast.Constant) and isinstance(value.value, str)
                    )


def test_every_reason_is_in_the_document() -> None:
    assert len(found := set(raised())) > 30
    assert found - REASON.words.keys() == set()


def test_every_reason_of_the_document_is_used() -> None:
    assert REASON.words.keys() - set(strings("db", "web/api")) == set()


def test_warnings_of_plans_are_in_the_document() -> None:
    code = (ROOT / "db/catalogue/plan_reports.py").read_text()
    assert set(re.findall(r'_warning\(\s*"(\w+)"', code)) == set(e.PLAN_WARNING.words)
