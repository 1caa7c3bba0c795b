"""Reconciliation of payments: each difference is repaired, or becomes one dead letter."""

from uuid import uuid4

import pytest

from tests.support.paying import PRICE, approved, capture, confirmed, fail
from tests.support.reconciling import (
    LOSE_TASKS,
    dashboard,
    expect_letter,
    expect_nothing,
    found,
    reconcile,
)
from tests.support.refunding import given_back
from tests.support.running import Running


def expect_gone(running: Running) -> None:
    """What was reported has been seen to: the next run closes its letter."""
    expect_nothing(running)
    (letter,) = running.dead_letters()
    assert letter["resolution"].startswith("gone, says reconciliation")


def test_a_payment_that_was_captured_past_us(running: Running) -> None:
    """Its task is lost, too: it is looked at, and confirmed."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    run = reconcile(running)
    assert (found(running, run), run["repairs"]) == (["payment_behind"], 1)
    assert running.booking(booking)["state"] == "confirmed"
    expect_nothing(running)


def test_a_payment_whose_reply_and_task_were_lost(running: Running) -> None:
    """We do not even know what it is called there."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    params = running.payment(payment)["params"]
    dashboard().payment_intents.create(params, {"idempotency_key": f"{payment}:1"})
    running.conn.execute(LOSE_TASKS)
    running.conn.execute("update payments set first_sent_at = created_at")
    assert found(running, reconcile(running)) == ["payment_behind"]
    assert running.booking(booking)["state"] == "confirmed"
    assert len(running.intents(booking)) == 1
    expect_nothing(running)


def test_a_payment_that_was_never_received_and_its_task_lost(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.pay(booking)
    running.conn.execute(LOSE_TASKS)
    running.conn.execute("update payments set first_sent_at = created_at")
    assert found(running, reconcile(running)) == ["payment_forgotten"]
    assert running.booking(booking)["state"] == "confirmed"
    expect_nothing(running)


def test_money_for_a_payment_that_we_gave_up(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    fail(running, booking, payment)
    assert found(running, reconcile(running)) == ["payment_goes_on"]
    assert given_back(running, booking) == PRICE
    assert running.payment(payment)["refunded"] == PRICE
    expect_nothing(running)


def test_money_for_a_payment_that_we_hold_to_be_cancelled(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    running.conn.execute("update payments set state = 'voided' where id = %s", [payment])
    running.conn.execute("update bookings set state = 'held', payment_id = null")
    assert found(running, reconcile(running)) == ["payment_goes_on"]
    assert given_back(running, booking) == PRICE
    expect_nothing(running)


def test_a_reservation_for_a_booking_that_has_ended(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    running.conn.execute("update payments set state = 'authorised' where id = %s", [payment])
    running.sale.release(booking)
    running.conn.execute("delete from outbox where actor = 'advance'")
    assert found(running, reconcile(running)) == ["payment_behind"]
    assert running.payment(payment)["state"] == "voided"
    expect_nothing(running)


def test_money_for_a_booking_that_has_ended_goes_back(running: Running) -> None:
    booking = confirmed(running)
    with running.conn.transaction():
        running.conn.execute("update tickets set state = 'void', voided_at = now()")
        running.conn.execute("select release_seats(%s, %s)", [running.sale.event, [booking]])
        running.conn.execute("update bookings set state = 'cancelled', ended_at = now()")
    assert found(running, reconcile(running)) == ["late_money"]
    assert given_back(running, booking) == PRICE
    subjects = [str(mail["Subject"]) for mail in running.catcher.mails("alice@usher.example")]
    assert subjects[0] == "We return 105.00 EUR for Evening"
    expect_nothing(running)


def test_a_capture_that_the_gateway_says_was_cancelled(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.pay(booking)
    from tasks import bookings as saga

    lease = running.lease()
    saga.authorise(lease, (saga.next_step(lease) or pytest.fail("nothing to do"))[1])
    dashboard().payment_intents.cancel(running.intents(booking)[0]["id"])
    running.conn.execute("update payments set state = 'captured', captured = amount")
    query = "select confirm_bookings(event_id, array[id], array[payment_id]) from bookings"
    running.conn.execute(query)
    running.sale.finish("advance", booking)
    letter = expect_letter(running, "capture_missing")
    assert letter["booking_id"] == booking
    assert letter["args"]["there"]["state"] == "voided"


@pytest.mark.parametrize("known", [True, False], ids=["marked", "foreign"])
def test_a_payment_that_is_in_no_table(running: Running, known: bool) -> None:
    """With our marks it is somebody's money that we lost; without, another's business."""
    marks = {"metadata": {"payment_id": str(uuid4()), "booking_id": str(uuid4())}} if known else {}
    params = {"amount": 5000, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    params |= {"payment_method_types": ["card"], **marks}
    intent = dashboard().payment_intents.create(params)
    if not known:
        run = reconcile(running)
        assert (run["foreign_objects"], found(running, run)) == (1, [])
        return
    old_enough(running)
    expect_letter(running, "unknown_payment")
    dashboard().refunds.create({"payment_intent": intent.id})
    run = reconcile(running)
    assert found(running, run) == []
    (letter,) = running.dead_letters()
    assert letter["resolution"].startswith("gone, says reconciliation")


def old_enough(running: Running) -> None:
    """The gateway's own times cannot be altered; so what counts as young is."""
    running.conn.execute(
        "create or replace function is_young(p_at timestamptz) returns boolean language sql"
        " as 'select false'"
    )


def test_a_payment_that_the_gateway_has_forgotten(running: Running) -> None:
    """As when the key of another account was put in. It comes back when the right one is."""
    booking = confirmed(running)
    was = running.payment(running.booking(booking)["payment_id"])["gateway_ref"]
    marks = {"metadata": {"payment_id": ""}}
    dashboard().payment_intents.update(was, marks)
    running.conn.execute("update payments set gateway_ref = 'pi_nowhere'")
    expect_letter(running, "payment_missing")
    (row,) = running.conn.execute("select here from reconciliation_differences").fetchall()
    assert row["here"]["gateway_id"] == "pi_nowhere"
    running.conn.execute("update payments set gateway_ref = %s", [was])
    expect_gone(running)
