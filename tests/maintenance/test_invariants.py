"""Each invariant holds in a sale with bookings in every state, and fires alone when broken."""

from uuid import UUID

import pytest

from db.connections import Conn
from db.maintenance.invariants import invariants, violations
from tests.support.corruptions import CORRUPTIONS, run_script


def test_no_invariant_fires_in_a_sale_with_bookings_in_every_state(
    conn: Conn, every_state: dict[str, UUID]
) -> None:
    assert violations(conn) == []


def test_there_is_a_corruption_for_each_invariant() -> None:
    assert [invariant.name for invariant in invariants()] == list(CORRUPTIONS)


def test_each_invariant_says_what_it_would_mean() -> None:
    assert all(invariant.meaning.endswith(".") for invariant in invariants())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_fires_alone(conn: Conn, name: str, every_state: dict[str, UUID]) -> None:
    run_script(conn, CORRUPTIONS[name], every_state)
    found = violations(conn)
    assert [violation.name for violation in found] == [name]
    assert found[0].rows >= len(found[0].sample) >= 1
