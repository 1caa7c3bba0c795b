"""The console's commands for API keys."""

from pathlib import Path

import pytest

from tests.support.programs import Console

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
CREATE = ("api-key", "create", "--role", "organiser", "--name", "till")


def test_a_key_is_made_listed_and_revoked(console: Console) -> None:
    made = console(*CREATE, "--new-organisation", "Opera")
    key = made.stdout.strip()
    assert key.startswith("usk_")
    listed = console("api-key", "list").stdout
    assert "till" in listed
    assert "Opera" in listed
    assert key not in listed
    assert console("api-key", "revoke", "1").returncode == 0
    assert "revoked" in console("api-key", "list").stdout
    again = console("api-key", "revoke", "1")
    assert again.returncode != 0
    assert "no key 1" in again.stderr


def test_an_organisers_key_belongs_to_an_organisation(console: Console) -> None:
    answer = console(*CREATE)
    assert answer.returncode != 0
    assert "--new-organisation" in answer.stderr
    unknown = console(*CREATE, "--organisation-id", "9")
    assert unknown.returncode != 0
    assert console("api-key", "list").stdout == ""
