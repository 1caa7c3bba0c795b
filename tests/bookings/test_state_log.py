"""Every change of state is legal, and the log tells it; nobody else can write the log."""

from itertools import product
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from db.connections import Conn, one
from tests.support.theatre import Theatre, build_theatre

MOVES = {
    "entry": {
        "lobby": "waiting unavailable left lapsed",
        "waiting": "standby admitted booked unavailable left lapsed",
        "standby": "waiting admitted booked unavailable left lapsed",
        "admitted": "booked standby left lapsed",
        "booked": "",
        "unavailable": "",
        "left": "",
        "lapsed": "",
    },
    "seat": {
        "free": "held sold blocked",
        "held": "free sold",
        "sold": "free blocked",
        "blocked": "free",
    },
    "booking": {
        "held": "authorising expired cancelled",
        "authorising": "held secured expiring review failed",
        "review": "secured expiring failed",
        "expiring": "expired review secured cancelled",
        "secured": "confirmed failed held authorising",
        "confirmed": "cancelled frozen",
        "frozen": "confirmed cancelled",
        "expired": "",
        "cancelled": "",
        "failed": "",
    },
    "payment": {
        "intended": "requires_action processing authorised captured failed unknown voided",
        "unknown": "intended requires_action processing authorised captured failed voided",
        "requires_action": "processing authorised captured failed unknown voided",
        "processing": "requires_action authorised captured failed voided",
        "authorised": "captured voided failed unknown",
        "captured": "",
        "failed": "",
        "voided": "failed",
    },
}
"""The states of DESIGN.md, and where each may lead."""

SET_STATE = {
    "entry": """
        update entries set state = %(to)s,
            decided_at = case when %(to)s in ('booked', 'unavailable', 'left', 'lapsed')
                then now() end,
            booking_id = case when %(to)s = 'booked' then %(booking)s::uuid end,
            admission = true,
            pass_state = case when %(to)s = 'admitted' then 'taken' end,
            pass_until = case when %(to)s = 'admitted' then now() end""",
    "seat": """
        update seats set state = %(to)s,
            booking_id = case when %(to)s in ('held', 'sold') then %(booking)s::uuid end""",
    "booking": """
        update bookings set state = %(to)s, payment_id = %(payment)s, review_reasons = '[]',
            review_until = now(),
            confirmed_at = case when %(to)s in ('confirmed', 'frozen') then now() end,
            ended_at = case when %(to)s in ('expired', 'cancelled', 'failed') then now() end""",
    "payment": """
        update payments set state = %(to)s, gateway_ref = 'pi_1', captured = amount""",
}
"""To a state with whatever its constraints ask for: the move alone is in question."""


@pytest.fixture
def theatre(conn: Conn) -> Theatre:
    return build_theatre(conn, {1: ["."], 2: ["..."]})


def move(theatre: Theatre, noun: str, to: str, **ids: Any) -> None:
    theatre.conn.execute(SET_STATE[noun], {"to": to} | ids)


def stage(theatre: Theatre) -> dict[str, UUID]:
    """One booking with its payment, its seat and its entry, and no other row of these."""
    booking = theatre.book(1, 1)
    payment = theatre.pay(booking)
    theatre.conn.execute("delete from seats where booking_id is null")
    return {"booking": booking, "payment": payment}


def test_exactly_the_moves_of_the_design_are_legal(theatre: Theatre) -> None:
    ids = stage(theatre)
    for noun, moves in MOVES.items():
        for old, new in product(moves, moves):
            if old != new:
                legal = new in moves[old].split()
                assert is_legal(theatre, noun, old, new, ids) == legal, f"{noun}: {old} to {new}"


def is_legal(theatre: Theatre, noun: str, old: str, new: str, ids: dict[str, UUID]) -> bool:
    """Whether the database lets a row go from one state to another."""
    with theatre.conn.transaction(force_rollback=True):
        theatre.conn.execute("set local session_replication_role = replica")
        move(theatre, noun, old, **ids)
        theatre.conn.execute("set local session_replication_role = origin")
        try:
            move(theatre, noun, new, **ids)
        except psycopg.errors.CheckViolation as error:
            assert error.diag.constraint_name == "legal_moves"
            assert f"{old} may not become {new}" in str(error)
            return False
        return True


def test_one_illegal_move_among_many_refuses_all(theatre: Theatre) -> None:
    numbers = [theatre.enter() for _ in range(3)]
    theatre.conn.execute(
        "update entries set state = 'left', decided_at = now() where number = %s", [numbers[1]]
    )
    with pytest.raises(psycopg.errors.CheckViolation, match="left may not become standby"):
        theatre.conn.execute("update entries set state = 'standby', decided_at = null")
    assert theatre.states() == ["waiting", "left", "waiting"]


def log_of(theatre: Theatre, subject: UUID) -> list[tuple[str | None, str, str | None]]:
    query = "select old_state, new_state, actor from state_log where id = %s order by at"
    rows = theatre.conn.execute(query, [subject]).fetchall()
    return [(row["old_state"], row["new_state"], row["actor"]) for row in rows]


def test_the_log_tells_the_life_of_a_booking_and_its_payment(theatre: Theatre) -> None:
    theatre.conn.execute("select set_config('usher.acting', 'drain', false)")
    booking = theatre.book()
    theatre.conn.execute("select set_config('usher.acting', 'buyer:1', false)")
    payment = theatre.pay(booking)
    theatre.record(booking, "requires_action")
    assert log_of(theatre, booking) == [
        (None, "held", "drain"),
        ("held", "authorising", "buyer:1"),
    ]
    assert log_of(theatre, payment) == [
        (None, "intended", "buyer:1"),
        ("intended", "requires_action", "buyer:1"),
    ]


def test_what_changes_no_state_is_not_in_the_log(theatre: Theatre) -> None:
    booking = theatre.book()
    theatre.overdue(booking)
    assert log_of(theatre, booking) == [(None, "held", None)]


def test_the_log_tells_of_each_of_many(theatre: Theatre) -> None:
    bookings = [theatre.book(1, 2) for _ in range(3)]
    theatre.expire(*bookings)
    for booking in bookings:
        assert [state for _, state, _ in log_of(theatre, booking)] == ["held", "expired"]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into state_log (event_id, noun, id, new_state) "
        "select event_id, noun, id, 'confirmed' from state_log limit 1",
        "update state_log set new_state = 'confirmed'",
        "delete from state_log",
    ],
)
def test_nobody_else_writes_the_log(theatre: Theatre, statement: str) -> None:
    booking = theatre.book()
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        theatre.conn.execute(statement)
    assert log_of(theatre, booking) == [(None, "held", None)]


@pytest.mark.parametrize(
    "statement",
    [
        "update seats set state = 'held', booking_id = %(nobody)s where seat = 3",
        "insert into seats (event_id, seat, category, centre, state, booking_id) "
        "select event_id, 99, 1, 0, 'held', %(nobody)s from bookings",
        "update booking_items set booking_id = %(nobody)s",
        "insert into booking_items select event_id, %(nobody)s, 99, category, price, fee, tax_rate,"
        " tax, currency from booking_items",
    ],
)
def test_seats_and_items_belong_to_bookings_that_exist(theatre: Theatre, statement: str) -> None:
    theatre.book()
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="which does not exist"):
        theatre.conn.execute(statement, {"nobody": uuid4()})


def test_a_booking_of_another_event_is_none(theatre: Theatre) -> None:
    booking = theatre.book()
    other = build_theatre(theatre.conn, {1: ["."]})
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="which does not exist"):
        theatre.conn.execute(
            "update seats set state = 'held', booking_id = %s where event_id = %s",
            [booking, other.event],
        )


def test_an_entry_has_one_booking(theatre: Theatre) -> None:
    booking = theatre.book()
    another = """insert into bookings select (jsonb_populate_record(b, %s)).* from bookings b
        where id = %s"""
    with pytest.raises(psycopg.errors.UniqueViolation, match="bookings_one_per_entry"):
        theatre.conn.execute(another, [Jsonb({"id": str(uuid4()), "code": "TWICE"}), booking])
    for code in ("FIRST", "SECOND"):  # without an entry there may be many
        without = {"id": str(uuid4()), "code": code, "entry_id": None}
        theatre.conn.execute(another, [Jsonb(without), booking])


@pytest.mark.parametrize("left", ["seats", "booking_items"])
def test_a_booking_that_something_refers_to_stays(theatre: Theatre, left: str) -> None:
    theatre.book()
    theatre.conn.execute("update entries set state = 'booked'")
    if left == "seats":
        theatre.conn.execute("delete from booking_items")
    else:
        theatre.conn.execute("update seats set state = 'free', booking_id = null")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="refer to a booking"):
        theatre.conn.execute("delete from bookings")


def test_a_booking_that_nothing_refers_to_may_be_deleted(theatre: Theatre) -> None:
    theatre.book()
    theatre.conn.execute("update seats set state = 'free', booking_id = null")
    theatre.conn.execute("delete from booking_items")
    theatre.conn.execute("delete from bookings")
    assert one(theatre.conn.execute("select count(*) as n from bookings"))["n"] == 0


def test_a_held_seat_cannot_pass_to_another_booking(theatre: Theatre) -> None:
    first, second = theatre.book(1, 1), theatre.book(1, 2)
    with pytest.raises(psycopg.errors.CheckViolation):
        theatre.conn.execute(
            "update seats set booking_id = %s where booking_id = %s", [second, first]
        )
    assert theatre.draw().startswith("1 ")
