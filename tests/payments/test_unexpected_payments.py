"""Unexpected payments, too late or of another sum: all of it goes back by itself, once."""

import pytest

from db.connections import one
from tests.support.mails import body
from tests.support.paying import PRICE, approved, capture, fail
from tests.support.refunding import is_returned
from tests.support.running import Running
from tests.support.waiting import wait_until


def test_money_for_a_booking_that_has_ended(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    running.sale.release(booking)
    with running.work():
        wait_until(lambda: is_returned(running, booking))
        wait_until(lambda: len(running.catcher.mails("alice@usher.example")) == 2)
    assert running.payment(payment)["state"] == "captured"
    assert running.booking(booking)["state"] == "expired"
    mails = {str(mail["Subject"]): mail for mail in running.catcher.mails("alice@usher.example")}
    mail = mails["We return 105.00 EUR for Evening"]
    assert "All of it is on its way back" in body(mail)
    assert running.dead_letters() == []
    running.check()


def test_money_that_is_only_reserved_is_voided(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    running.sale.release(booking)
    with running.work():
        wait_until(lambda: running.payment(payment)["state"] == "voided" and not running.tasks())
    assert running.conn.execute("select from refunds").fetchall() == []
    assert running.intents(booking)[0]["held"] == 0
    running.check()


def test_money_of_a_payment_written_down_as_failed(running: Running) -> None:
    """However often we are told; the buyer has paid with another card meanwhile."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    fail(running, booking, payment)
    with running.work():
        running.pay(booking)
        running.wait_for(booking, "confirmed")
        for _ in range(2):
            assert running.notify(payment, "captured")
            wait_until(lambda: is_returned(running, booking))
            wait_until(lambda: not running.tasks("stop_unexpected"))
    late = running.payment(payment)
    assert (late["state"], late["captured"], late["refunded"]) == ("failed", PRICE, PRICE)
    assert running.booking(booking)["state"] == "confirmed"
    assert sum(intent["captured"] for intent in running.intents(booking)) == 2 * PRICE
    running.check()


def test_one_that_is_not_refunded_is_noticed(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    fail(running, booking, payment)
    running.conn.execute("update payments set captured = amount where id = %s", [payment])
    with pytest.raises(AssertionError, match="money_without_a_booking"):
        running.check()


def test_less_than_was_asked_for(running: Running) -> None:
    """Somebody captured a part of what was authorised: there are no seats for that."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    from tasks import bookings

    lease = running.lease()
    bookings.authorise(lease, (bookings.next_step(lease) or pytest.fail("nothing to do"))[1])
    capture(running, payment, 9000)
    running.conn.execute("update outbox set lease_until = now() where actor = 'advance'")
    with running.work():
        wait_until(lambda: is_returned(running, booking, 9000))
    assert running.booking(booking)["state"] == "failed"
    assert running.booking(booking)["reason"] == "wrong_money"
    assert running.seats(booking) == []
    running.check()


@pytest.mark.parametrize(
    ("params", "amount", "currency"),
    [('{"currency": "usd"}', PRICE, "USD"), ('{"amount": 20000}', 20_000, "EUR")],
)
def test_another_currency_or_more_than_was_asked_for(
    running: Running, params: str, amount: int, currency: str
) -> None:
    """Captured at once: it goes back, and the buyer may pay again."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    changed = 'update payments set params = params || \'{"capture_method": "automatic"}\' || %s'
    running.conn.execute(changed, [params])
    with running.work():
        wait_until(lambda: is_returned(running, booking, amount))
        assert running.booking(booking)["state"] == "held"
        refund = one(running.conn.execute("select amount, currency from refunds"))
        assert refund == {"amount": amount, "currency": currency}
        assert running.payment(payment)["failure_code"] == "wrong_money"
        running.check()
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    running.check()
