"""What the sandbox would tell us, newest first and often: payments, refunds and disputes come to
their end all the same."""

from tests.support.notifying import tell
from tests.support.paying import (
    DISPUTED,
    PRICE,
    approved,
    confirmed,
    fail,
    nothing_taken,
    paid_once,
)
from tests.support.refunding import ask, books, carry_out, given_back, refund
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller


def test_a_refund_that_fails_after_its_success(running: Running, anybody: Caller) -> None:
    booking = confirmed(running)
    answer = ask(running, booking)
    carry_out(running, answer["id"])
    running.sandbox.settle_refund(refund(running, answer["id"])["gateway_ref"], "failed")
    assert {"charge.refunded", "refund.failed"} <= tell(anybody)
    carry_out(running, answer["id"], "failed")
    assert books(running, booking)["owed"] == PRICE
    assert given_back(running, booking) == 0
    assert len(running.dead_letters()) == 1
    running.check()


def test_a_refund_that_we_know_of_costs_no_look(running: Running, anybody: Caller) -> None:
    carry_out(running, ask(running, confirmed(running))["id"])
    tell(anybody)
    assert running.tasks("refund") == []


def test_a_dispute_from_its_beginning_to_its_end(running: Running, anybody: Caller) -> None:
    booking = confirmed(running, card=DISPUTED)
    assert "charge.dispute.created" in tell(anybody)
    with running.work():
        wait_until(lambda: running.booking(booking)["state"] == "frozen")
        (row,) = running.conn.execute("select gateway_ref from disputes").fetchall()
        running.sandbox.close_dispute(row["gateway_ref"], "lost")
        assert "charge.dispute.closed" in tell(anybody)
        wait_until(lambda: running.booking(booking)["state"] == "cancelled")
        wait_until(lambda: not running.tasks("look_at_dispute"))
    running.check()


def test_a_payment_whose_news_come_newest_first_and_twice(
    running: Running, anybody: Caller
) -> None:
    """Before, while and after we see for ourselves: only what the gateway says it is now counts."""
    booking = running.sale.hold("alice")
    approved(running, booking)
    seen = tell(anybody)
    assert {"payment_intent.requires_action", "payment_intent.amount_capturable_updated"} <= seen
    with running.work():
        tell(anybody)
        running.wait_for(booking, "confirmed")
        tell(anybody)
        wait_until(lambda: not running.tasks() and not running.tasks("stop_unexpected"))
    assert paid_once(running, booking)
    running.check()


def test_news_of_money_for_a_booking_that_has_expired(running: Running, anybody: Caller) -> None:
    """The gateway was away when the seats were released, and had reserved the money before."""
    booking = running.sale.hold("alice")
    approved(running, booking)
    running.sale.release(booking)
    running.conn.execute("delete from outbox where actor = 'advance'")
    tell(anybody)
    with running.work():
        wait_until(lambda: not running.tasks())
    assert running.booking(booking)["state"] == "expired"
    assert nothing_taken(running, booking)
    running.check()


def test_news_of_money_for_an_attempt_given_up(running: Running, anybody: Caller) -> None:
    """The buyer has another attempt by then: that one lives on, alone."""
    booking = running.sale.hold("alice")
    fail(running, booking, approved(running, booking))
    with running.work():
        running.pay(booking)
        running.wait_for(booking, "confirmed")
        for _ in range(2):
            tell(anybody)
        wait_until(lambda: not running.tasks() and not running.tasks("stop_unexpected"))
    assert paid_once(running, booking)
    running.check()
