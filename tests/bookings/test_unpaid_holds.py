"""Seats that are held for nothing: a buyer's next holds are shorter, and then the buyer waits."""

from decimal import Decimal
from uuid import UUID

import pytest

from db.connections import Conn, one
from tests.support.theatre import Theatre, build_theatre

HOLD = 600


def hold_and_cancel(theatre: Theatre, conn: Conn, name: str) -> int:
    """The seconds for which the seats were held, before the buyer gave them up."""
    booking = theatre.hold(name, quantity=2)
    seconds = held_for(conn, booking)
    conn.execute(
        "select cancel_booking(event_id, id, buyer_id) from bookings where id = %s", [booking]
    )
    return seconds


def held_for(conn: Conn, booking: UUID) -> int:
    query = "select extract(epoch from deadline - created_at) as s from bookings where id = %s"
    return int(one(conn.execute(query, [booking]))["s"] + Decimal("0.5"))


@pytest.fixture
def theatre(conn: Conn) -> Theatre:
    built = build_theatre(conn, {1: ["." * 20]})
    conn.execute("update events set hold_seconds = %s", [HOLD])
    return built


def refused(theatre: Theatre, conn: Conn, name: str) -> str | None:
    query = """
        select w.outcome from events e, buyers b,
            check_wish(e, e.on_sale_at, b.id, 1, null, 0, null, true) w
        where e.id = %s and b.name = %s"""
    found = one(conn.execute(query, [theatre.event, name]))["outcome"]
    return str(found) if found else None


@pytest.mark.faults("H3")
def test_holds_that_are_given_up_get_shorter_and_then_the_buyer_waits(
    theatre: Theatre, conn: Conn
) -> None:
    times = [hold_and_cancel(theatre, conn, "mallory") for _ in range(6)]
    assert times == [HOLD, HOLD, HOLD, HOLD // 2, HOLD // 4, HOLD // 8]
    assert refused(theatre, conn, "mallory") == "unpaid_holds"
    assert held_for(conn, theatre.hold("alice")) == HOLD
    conn.execute("update buyer_seats set unpaid_at = unpaid_at - interval '15 min 1 s'")
    assert refused(theatre, conn, "mallory") is None
    conn.execute("update buyer_seats set unpaid_at = unpaid_at - interval '1 hour'")
    assert held_for(conn, theatre.hold("mallory")) == HOLD


@pytest.mark.faults("H3")
def test_holds_that_expire_count_like_those_that_are_cancelled(
    theatre: Theatre, conn: Conn
) -> None:
    for _ in range(6):
        theatre.hold("mallory")
        conn.execute(
            "update bookings set deadline = clock_timestamp() - interval '1 s' where state = 'held'"
        )
        conn.execute("select expire_holds(100)")
    assert refused(theatre, conn, "mallory") == "unpaid_holds"


@pytest.mark.faults("H3")
def test_an_organisation_sets_what_it_allows(theatre: Theatre, conn: Conn) -> None:
    conn.execute("update organisations set holds_free = 0, holds_most = 2, holds_wait_seconds = 60")
    assert [hold_and_cancel(theatre, conn, "mallory") for _ in range(2)] == [HOLD, HOLD // 4]
    assert refused(theatre, conn, "mallory") == "unpaid_holds"
