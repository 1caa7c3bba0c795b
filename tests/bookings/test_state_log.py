"""Every change of state is legal, and the log tells it; nobody else can write the log."""

from itertools import product
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from db.connections import Conn, only
from tests.support.halls import Hall, build_hall

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
def hall(conn: Conn) -> Hall:
    return build_hall(conn, {1: ["."], 2: ["..."]})


def move(hall: Hall, noun: str, to: str, **ids: Any) -> None:
    hall.conn.execute(SET_STATE[noun], {"to": to} | ids)


def stage(hall: Hall) -> dict[str, UUID]:
    """One booking with its payment, its seat and its entry, and no other row of these."""
    booking = hall.hold(1, 1)
    payment = hall.pay(booking)
    hall.conn.execute("delete from seats where booking_id is null")
    return {"booking": booking, "payment": payment}


def test_exactly_the_moves_of_the_design_are_legal(hall: Hall) -> None:
    ids = stage(hall)
    for noun, moves in MOVES.items():
        for old, new in product(moves, moves):
            if old != new:
                legal = new in moves[old].split()
                assert is_legal(hall, noun, old, new, ids) == legal, f"{noun}: {old} to {new}"


def is_legal(hall: Hall, noun: str, old: str, new: str, ids: dict[str, UUID]) -> bool:
    """Whether the database lets a row go from one state to another."""
    with hall.conn.transaction(force_rollback=True):
        hall.conn.execute("set local session_replication_role = replica")
        move(hall, noun, old, **ids)
        hall.conn.execute("set local session_replication_role = origin")
        try:
            move(hall, noun, new, **ids)
        except psycopg.errors.CheckViolation as error:
            assert error.diag.constraint_name == "legal_moves"
            assert f"{old} may not become {new}" in str(error)
            return False
        return True


def test_one_illegal_move_among_many_refuses_all(hall: Hall) -> None:
    numbers = [hall.enter() for _ in range(3)]
    hall.conn.execute(
        "update entries set state = 'left', decided_at = now() where number = %s", [numbers[1]]
    )
    with pytest.raises(psycopg.errors.CheckViolation, match="left may not become standby"):
        hall.conn.execute("update entries set state = 'standby', decided_at = null")
    assert hall.states() == ["waiting", "left", "waiting"]


def log_of(hall: Hall, subject: UUID) -> list[tuple[str | None, str, str | None]]:
    query = "select old_state, new_state, actor from state_log where id = %s order by at"
    rows = hall.conn.execute(query, [subject]).fetchall()
    return [(row["old_state"], row["new_state"], row["actor"]) for row in rows]


def test_the_log_tells_the_life_of_a_booking_and_its_payment(hall: Hall) -> None:
    hall.conn.execute("select set_config('usher.acting', 'drain', false)")
    booking = hall.hold()
    hall.conn.execute("select set_config('usher.acting', 'buyer:1', false)")
    payment = hall.pay(booking)
    hall.set_payment(payment, "requires_action")
    assert log_of(hall, booking) == [
        (None, "held", "drain"),
        ("held", "authorising", "buyer:1"),
    ]
    assert log_of(hall, payment) == [
        (None, "intended", "buyer:1"),
        ("intended", "requires_action", "buyer:1"),
    ]


def test_what_changes_no_state_is_not_in_the_log(hall: Hall) -> None:
    booking = hall.hold()
    hall.overdue(booking)
    assert log_of(hall, booking) == [(None, "held", None)]


def test_the_log_tells_of_each_of_many(hall: Hall) -> None:
    bookings = [hall.hold(1, 2) for _ in range(3)]
    hall.expire(*bookings)
    for booking in bookings:
        assert [state for _, state, _ in log_of(hall, booking)] == ["held", "expired"]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into state_log (event_id, noun, id, new_state) "
        "select event_id, noun, id, 'confirmed' from state_log limit 1",
        "update state_log set new_state = 'confirmed'",
        "delete from state_log",
    ],
)
def test_nobody_else_writes_the_log(hall: Hall, statement: str) -> None:
    booking = hall.hold()
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        hall.conn.execute(statement)
    assert log_of(hall, booking) == [(None, "held", None)]


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
def test_seats_and_items_belong_to_bookings_that_exist(hall: Hall, statement: str) -> None:
    hall.hold()
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="which does not exist"):
        hall.conn.execute(statement, {"nobody": uuid4()})


def test_a_booking_of_another_event_is_none(hall: Hall) -> None:
    booking = hall.hold()
    other = build_hall(hall.conn, {1: ["."]})
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="which does not exist"):
        hall.conn.execute(
            "update seats set state = 'held', booking_id = %s where event_id = %s",
            [booking, other.event],
        )


def test_an_entry_has_one_booking(hall: Hall) -> None:
    booking = hall.hold()
    another = """insert into bookings select (jsonb_populate_record(b, %s)).* from bookings b
        where id = %s"""
    with pytest.raises(psycopg.errors.UniqueViolation, match="bookings_one_per_entry"):
        hall.conn.execute(another, [Jsonb({"id": str(uuid4()), "code": "TWICE"}), booking])
    for code in ("FIRST", "SECOND"):  # without an entry there may be many
        without = {"id": str(uuid4()), "code": code, "entry_id": None}
        hall.conn.execute(another, [Jsonb(without), booking])


@pytest.mark.parametrize("left", ["seats", "booking_items"])
def test_a_booking_that_something_refers_to_stays(hall: Hall, left: str) -> None:
    hall.hold()
    hall.conn.execute("update entries set state = 'booked'")
    if left == "seats":
        hall.conn.execute("delete from booking_items")
    else:
        hall.conn.execute("update seats set state = 'free', booking_id = null")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="refer to a booking"):
        hall.conn.execute("delete from bookings")


def test_a_booking_that_nothing_refers_to_may_be_deleted(hall: Hall) -> None:
    hall.hold()
    hall.conn.execute("update seats set state = 'free', booking_id = null")
    hall.conn.execute("delete from booking_items")
    hall.conn.execute("delete from bookings")
    assert only(hall.conn.execute("select count(*) as n from bookings").fetchall())["n"] == 0


def test_a_held_seat_cannot_pass_to_another_booking(hall: Hall) -> None:
    first, second = hall.hold(1, 1), hall.hold(1, 2)
    with pytest.raises(psycopg.errors.CheckViolation):
        hall.conn.execute("update seats set booking_id = %s where booking_id = %s", [second, first])
    assert hall.draw().startswith("1 ")
