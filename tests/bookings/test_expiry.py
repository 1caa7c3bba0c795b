"""Holds end at their deadline, by the database's clock, and never while a payment may succeed."""

import pytest

from db.connections import Conn, one
from db.maintenance.invariants import violations
from tests.support.theatre import Theatre, another, build_theatre, is_waited_for
from tests.support.waiting import in_thread, wait_until


@pytest.fixture
def theatre(conn: Conn) -> Theatre:
    return build_theatre(conn, {1: ["......"]})


def expire(theatre: Theatre, limit: int = 100, conn: Conn | None = None) -> tuple[int, int]:
    row = one((conn or theatre.conn).execute("select * from expire_holds(%s)", [limit]))
    return row["expired"], row["expiring"]


def seats_left_to(theatre: Theatre, buyer: int) -> int:
    query = "select cap - seats as left from buyer_seats where buyer_id = %s"
    return int(one(theatre.conn.execute(query, [buyer]))["left"])


def test_a_hold_ends_at_its_deadline(theatre: Theatre) -> None:
    booking = theatre.book(2)
    assert expire(theatre) == (0, 0)
    theatre.overdue(booking)
    assert expire(theatre) == (1, 0)
    assert theatre.state_of(booking) == "expired"
    assert theatre.draw() == "......"
    assert seats_left_to(theatre, buyer=1) == 8
    assert violations(theatre.conn) == []


def test_the_deadline_is_the_events_hold_time_after_the_drain(theatre: Theatre) -> None:
    theatre.set_event(hold_seconds=60)
    theatre.book()
    query = (
        "select deadline - created_at = interval '60 s' as exact, created_at <= clock_timestamp()"
    )
    assert one(theatre.conn.execute(query + " as past from bookings")) == {
        "exact": True,
        "past": True,
    }


def test_the_buyer_is_told_once(theatre: Theatre) -> None:
    theatre.expire(theatre.book())
    query = """
        select m.template, m.state, o.actor, o.queue from emails m
        join outbox o on o.args->>'email_id' = m.id::text"""
    assert theatre.conn.execute(query).fetchall() == [
        {"template": "expired", "state": "pending", "actor": "send_email", "queue": "mail"}
    ]


def test_seats_of_others_stay(theatre: Theatre) -> None:
    first, second = theatre.book(2), theatre.book(2)
    theatre.expire(first)
    assert theatre.state_of(second) == "held"
    assert theatre.draw().replace(".", "") == "22"
    assert expire(theatre) == (0, 0)


def test_so_many_at_a_time_of_all_events(theatre: Theatre) -> None:
    other = build_theatre(theatre.conn, {1: [".."]})
    bookings = [theatre.book(), theatre.book(), other.book(), other.book()]
    theatre.overdue(*bookings)
    assert expire(theatre, limit=3) == (3, 0)
    assert expire(theatre, limit=3) == (1, 0)
    assert violations(theatre.conn) == []


def test_one_that_is_being_paid_is_left_to_the_saga(theatre: Theatre) -> None:
    booking = theatre.book(2)
    theatre.pay(booking)
    theatre.record(booking, "requires_action")
    theatre.conn.execute("delete from outbox")
    theatre.overdue(booking)
    assert expire(theatre) == (0, 1)
    assert theatre.state_of(booking) == "expiring"
    assert theatre.draw() == "..11.."
    tasks = theatre.conn.execute("select actor, queue, key from outbox").fetchall()
    assert tasks == [{"actor": "advance", "queue": "payments", "key": str(booking)}]
    assert expire(theatre) == (0, 0)


@pytest.mark.parametrize("payment_state", ["intended", "unknown"])
def test_an_attempt_that_is_being_sent_has_a_grace_of_a_minute(
    theatre: Theatre, payment_state: str
) -> None:
    booking = theatre.book()
    theatre.pay(booking)
    if payment_state != "intended":
        theatre.record(booking, payment_state)
    theatre.overdue(booking, seconds=55)
    assert expire(theatre) == (0, 0)
    theatre.overdue(booking, seconds=61)
    assert expire(theatre) == (0, 1)


@pytest.mark.parametrize(
    ("opened", "closed", "overdue", "ends"),
    [
        (300, 200, 99, False),  # seconds ago; the buyer lost 100 s
        (300, 200, 101, True),
        (300, None, 299, False),  # still away
        (2000, 1900, 1, True),  # before the booking was made
        (700, 500, 99, False),  # began before it: only the overlap counts
        (700, 500, 101, True),
    ],
)
def test_time_in_which_the_gateway_was_away_is_credited(
    theatre: Theatre, opened: int, closed: int | None, overdue: int, ends: bool
) -> None:
    booking = theatre.book()
    theatre.conn.execute("update bookings set created_at = clock_timestamp() - interval '600 s'")
    add_outage(theatre, opened, closed)
    theatre.overdue(booking, seconds=overdue)
    assert expire(theatre) == (int(ends), 0)


def test_no_more_than_half_an_hour_is_credited(theatre: Theatre) -> None:
    booking = theatre.book()
    theatre.conn.execute("update bookings set created_at = clock_timestamp() - interval '3 h'")
    add_outage(theatre, 9000, None)
    theatre.overdue(booking, seconds=1799)
    assert expire(theatre) == (0, 0)
    theatre.overdue(booking, seconds=1801)
    assert expire(theatre) == (1, 0)


def add_outage(theatre: Theatre, opened: int, closed: int | None) -> None:
    theatre.conn.execute(
        "insert into outages values (%s, clock_timestamp() - make_interval(secs => %s),"
        " clock_timestamp() - make_interval(secs => %s))",
        [theatre.gateway, opened, closed],
    )


def test_another_accounts_outage_is_no_reason(theatre: Theatre) -> None:
    booking = theatre.book()
    theatre.conn.execute("update bookings set created_at = clock_timestamp() - interval '600 s'")
    add_outage(build_theatre(theatre.conn, {1: ["."]}), 300, None)
    theatre.overdue(booking)
    assert expire(theatre) == (1, 0)


def test_one_that_somebody_works_on_is_not_waited_for(theatre: Theatre) -> None:
    booking = theatre.book()
    theatre.overdue(booking)
    theatre.conn.execute("set lock_timeout = '1ms'")
    with another(theatre.conn) as buyer:
        buyer.execute("select from bookings where id = %s for update", [booking])
        assert expire(theatre) == (0, 0)


def test_who_pays_too_late_is_told_so(theatre: Theatre) -> None:
    booking = theatre.book()
    theatre.overdue(booking)
    assert start_payment(theatre, booking) == "deadline_passed"
    expire(theatre)
    assert start_payment(theatre, booking) == "not_held"


def start_payment(theatre: Theatre, booking: object, conn: Conn | None = None) -> str:
    query = "select outcome from start_payment(%s, %s, 1, 'pm_card', 'http://usher.example')"
    row = one((conn or theatre.conn).execute(query, [theatre.event, booking]))
    return str(row["outcome"])


def test_expiry_that_was_first_refuses_the_payment(theatre: Theatre) -> None:
    booking = theatre.book()
    theatre.overdue(booking)
    outcomes: list[str] = []
    with another(theatre.conn) as clock:
        assert expire(theatre, conn=clock) == (1, 0)
        with in_thread(lambda: outcomes.append(start_payment(theatre, booking))):
            wait_until(lambda: is_waited_for(clock))
            clock.commit()
    assert outcomes == ["not_held"]
    assert theatre.state_of(booking) == "expired"


def test_two_clocks_end_each_hold_once(theatre: Theatre) -> None:
    bookings = [theatre.book() for _ in range(4)]
    theatre.overdue(*bookings)
    with another(theatre.conn) as clock:
        assert expire(theatre, limit=2, conn=clock) == (2, 0)
        assert expire(theatre) == (2, 0)
        clock.commit()
    assert violations(theatre.conn) == []


def test_counters_are_locked_in_the_order_of_buyers(theatre: Theatre) -> None:
    """As the drain locks them; otherwise the two could wait for each other."""
    bookings = [theatre.book(buyer=buyer) for buyer in (9, 8)]
    theatre.overdue(*bookings)
    with another(theatre.conn) as drain, another(theatre.conn) as clock:
        drain.execute("select from buyer_seats where buyer_id = 8 for update")
        with in_thread(lambda: expire(theatre, conn=clock)):
            wait_until(lambda: is_waited_for(drain))
            drain.execute("select from buyer_seats where buyer_id = 9 for update nowait")
            drain.commit()
