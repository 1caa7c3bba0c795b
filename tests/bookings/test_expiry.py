"""Holds end at their deadline, by the database's clock, and never while a payment may succeed."""

import pytest

from db.connections import Conn, only
from db.maintenance.invariants import violations
from tests.queue.test_drain import in_thread
from tests.support.halls import Hall, another, build_hall, is_waited_for
from tests.support.waiting import wait_until


@pytest.fixture
def hall(conn: Conn) -> Hall:
    return build_hall(conn, {1: ["......"]})


def expire(hall: Hall, limit: int = 100, conn: Conn | None = None) -> tuple[int, int]:
    row = only((conn or hall.conn).execute("select * from expire_holds(%s)", [limit]).fetchall())
    return row["expired"], row["expiring"]


def seats_left_to(hall: Hall, buyer: int) -> int:
    query = "select cap - seats as left from buyer_seats where buyer_id = %s"
    return int(only(hall.conn.execute(query, [buyer]).fetchall())["left"])


def test_a_hold_ends_at_its_deadline(hall: Hall) -> None:
    booking = hall.hold(2)
    assert expire(hall) == (0, 0)
    hall.overdue(booking)
    assert expire(hall) == (1, 0)
    assert hall.state_of(booking) == "expired"
    assert hall.draw() == "......"
    assert seats_left_to(hall, buyer=1) == 8
    assert violations(hall.conn) == []


def test_the_deadline_is_the_events_hold_time_after_the_drain(hall: Hall) -> None:
    hall.set_event(hold_seconds=60)
    hall.hold()
    query = (
        "select deadline - created_at = interval '60 s' as exact, created_at <= clock_timestamp()"
    )
    assert only(hall.conn.execute(query + " as past from bookings").fetchall()) == {
        "exact": True,
        "past": True,
    }


def test_the_buyer_is_told_once(hall: Hall) -> None:
    hall.expire(hall.hold())
    query = """
        select m.template, m.state, o.actor, o.queue from emails m
        join outbox o on o.args->>'email_id' = m.id::text"""
    assert hall.conn.execute(query).fetchall() == [
        {"template": "expired", "state": "pending", "actor": "send_email", "queue": "mail"}
    ]


def test_seats_of_others_stay(hall: Hall) -> None:
    first, second = hall.hold(2), hall.hold(2)
    hall.expire(first)
    assert hall.state_of(second) == "held"
    assert hall.draw().replace(".", "") == "22"
    assert expire(hall) == (0, 0)


def test_so_many_at_a_time_of_all_events(hall: Hall) -> None:
    other = build_hall(hall.conn, {1: [".."]})
    bookings = [hall.hold(), hall.hold(), other.hold(), other.hold()]
    hall.overdue(*bookings)
    assert expire(hall, limit=3) == (3, 0)
    assert expire(hall, limit=3) == (1, 0)
    assert violations(hall.conn) == []


def test_one_that_is_being_paid_is_left_to_the_saga(hall: Hall) -> None:
    booking = hall.hold(2)
    hall.set_payment(hall.pay(booking), "requires_action")
    hall.conn.execute("delete from outbox")
    hall.overdue(booking)
    assert expire(hall) == (0, 1)
    assert hall.state_of(booking) == "expiring"
    assert hall.draw() == "..11.."
    tasks = hall.conn.execute("select actor, queue, key from outbox").fetchall()
    assert tasks == [{"actor": "advance", "queue": "payments", "key": str(booking)}]
    assert expire(hall) == (0, 0)


@pytest.mark.parametrize("payment_state", ["intended", "unknown"])
def test_an_attempt_that_is_being_sent_has_a_grace_of_a_minute(
    hall: Hall, payment_state: str
) -> None:
    booking = hall.hold()
    payment = hall.pay(booking)
    if payment_state != "intended":
        hall.set_payment(payment, payment_state)
    hall.overdue(booking, seconds=55)
    assert expire(hall) == (0, 0)
    hall.overdue(booking, seconds=61)
    assert expire(hall) == (0, 1)


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
    hall: Hall, opened: int, closed: int | None, overdue: int, ends: bool
) -> None:
    booking = hall.hold()
    hall.conn.execute("update bookings set created_at = clock_timestamp() - interval '600 s'")
    add_outage(hall, opened, closed)
    hall.overdue(booking, seconds=overdue)
    assert expire(hall) == (int(ends), 0)


def test_no_more_than_half_an_hour_is_credited(hall: Hall) -> None:
    booking = hall.hold()
    hall.conn.execute("update bookings set created_at = clock_timestamp() - interval '3 h'")
    add_outage(hall, 9000, None)
    hall.overdue(booking, seconds=1799)
    assert expire(hall) == (0, 0)
    hall.overdue(booking, seconds=1801)
    assert expire(hall) == (1, 0)


def add_outage(hall: Hall, opened: int, closed: int | None) -> None:
    hall.conn.execute(
        "insert into outages values (%s, clock_timestamp() - make_interval(secs => %s),"
        " clock_timestamp() - make_interval(secs => %s))",
        [hall.gateway, opened, closed],
    )


def test_another_accounts_outage_is_no_reason(hall: Hall) -> None:
    booking = hall.hold()
    hall.conn.execute("update bookings set created_at = clock_timestamp() - interval '600 s'")
    add_outage(build_hall(hall.conn, {1: ["."]}), 300, None)
    hall.overdue(booking)
    assert expire(hall) == (1, 0)


def test_one_that_somebody_works_on_is_not_waited_for(hall: Hall) -> None:
    booking = hall.hold()
    hall.overdue(booking)
    hall.conn.execute("set lock_timeout = '1ms'")
    with another(hall.conn) as buyer:
        buyer.execute("select from bookings where id = %s for update", [booking])
        assert expire(hall) == (0, 0)


def test_who_pays_too_late_is_told_so(hall: Hall) -> None:
    booking = hall.hold()
    hall.overdue(booking)
    assert start_payment(hall, booking) == "deadline_passed"
    expire(hall)
    assert start_payment(hall, booking) == "not_held"


def start_payment(hall: Hall, booking: object, conn: Conn | None = None) -> str:
    query = "select outcome from start_payment(%s, %s, 1, 'pm_card', 'http://usher.example')"
    row = only((conn or hall.conn).execute(query, [hall.event, booking]).fetchall())
    return str(row["outcome"])


def test_expiry_that_was_first_refuses_the_payment(hall: Hall) -> None:
    booking = hall.hold()
    hall.overdue(booking)
    outcomes: list[str] = []
    with another(hall.conn) as clock:
        assert expire(hall, conn=clock) == (1, 0)
        with in_thread(lambda: outcomes.append(start_payment(hall, booking))):
            wait_until(lambda: is_waited_for(clock))
            clock.commit()
    assert outcomes == ["not_held"]
    assert hall.state_of(booking) == "expired"


def test_two_clocks_end_each_hold_once(hall: Hall) -> None:
    bookings = [hall.hold() for _ in range(4)]
    hall.overdue(*bookings)
    with another(hall.conn) as clock:
        assert expire(hall, limit=2, conn=clock) == (2, 0)
        assert expire(hall) == (2, 0)
        clock.commit()
    assert violations(hall.conn) == []


def test_counters_are_locked_in_the_order_of_buyers(hall: Hall) -> None:
    """As the drain locks them; otherwise the two could wait for each other."""
    bookings = [hall.hold(buyer=buyer) for buyer in (9, 8)]
    hall.overdue(*bookings)
    with another(hall.conn) as drain, another(hall.conn) as clock:
        drain.execute("select from buyer_seats where buyer_id = 8 for update")
        with in_thread(lambda: expire(hall, conn=clock)):
            wait_until(lambda: is_waited_for(drain))
            drain.execute("select from buyer_seats where buyer_id = 9 for update nowait")
            drain.commit()
