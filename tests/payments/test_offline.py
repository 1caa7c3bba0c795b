"""Money paid at the box office or by bank transfer: held for it, marked as paid, given back."""

from typing import Any
from uuid import UUID

import pytest

from db.connections import transaction
from db.payments import offline
from db.runtime.errors import Conflict, InvalidRequest, NotFound
from tests.support.mails import body
from tests.support.offline import choose, event, mail, mark, payment_of
from tests.support.paying import PRICE
from tests.support.refunding import ask, books, cancel, is_over, refund
from tests.support.running import Running
from tests.support.waiting import wait_until

__all__ = ["event"]


def paid(running: Running, name: str = "alice", **given: Any) -> UUID:
    booking = choose(running, name)
    with running.work():
        mark(running, booking, **given)
        running.wait_for(booking, "confirmed")
    return booking


def pay_back(running: Running, booking: UUID, refund_id: UUID) -> None:
    with transaction("organiser:1") as conn:
        offline.record_refund(conn, None, running.sale.event, booking, refund_id, "in cash")


def test_the_buyer_is_told_how_to_pay_and_the_seats_wait(running: Running, event: int) -> None:
    booking = choose(running)
    row = running.booking(booking)
    left = "select deadline - now() > interval '59 min' as longer from bookings where id = %s"
    assert running.conn.execute(left, [booking]).fetchall() == [{"longer": True}]
    action = payment_of(running, booking)["next_action"]
    assert action["type"] == "pay_offline"
    how = action["pay_offline"]
    assert (how["reference"], how["amount"], how["currency"]) == (row["code"], PRICE, "EUR")
    assert how["instructions"] == "At the desk"
    text = body(mail(running, "Please pay 105.00 EUR for Evening"))
    assert row["code"] in text
    assert "At the desk" in text
    assert running.booking(booking)["state"] == "authorising"
    assert running.tasks() == []
    running.check()


def test_marked_as_paid_it_is_confirmed(running: Running, event: int) -> None:
    booking = paid(running)
    payment = payment_of(running, booking)
    assert (payment["state"], payment["captured"]) == ("captured", PRICE)
    assert running.seats(booking) == ["sold", "sold"]
    assert running.sandbox.calls()["total"] == 0
    query = """select a.*, p.personal from audit_log a join audit_personal p on p.act_id = a.id
        where a.action like 'offline %'"""
    (entry,) = running.conn.execute(query).fetchall()
    assert (entry["actor"], entry["action"]) == ("organiser:1", "offline payment received")
    assert entry["personal"] == {"reference": "receipt 1"}
    running.check()


def test_the_same_receipt_again_changes_nothing(running: Running, event: int) -> None:
    booking = paid(running)
    payment = payment_of(running, booking)["id"]
    assert mark(running, booking) == {"payment_id": payment, "late": False}
    assert running.tasks() == []
    with pytest.raises(Conflict, match="under another reference"):
        mark(running, booking, reference="receipt 2")


def test_a_receipt_pays_for_one_booking(running: Running, event: int) -> None:
    paid(running)
    other = choose(running, "bob")
    with pytest.raises(InvalidRequest, match="each receipt pays for one booking"):
        mark(running, other)
    mark(running, other, reference="receipt 2")


@pytest.mark.parametrize("given", [{"amount": PRICE - 1}, {"currency": "USD"}])
def test_other_money_than_was_asked_for_is_not_taken(
    running: Running, event: int, given: dict[str, Any]
) -> None:
    booking = choose(running)
    with pytest.raises(Conflict, match=r"costs 10500 EUR"):
        mark(running, booking, **given)
    assert running.conn.execute("select from offline_payments").fetchall() == []


def test_only_what_is_paid_offline_can_be_marked(running: Running, event: int) -> None:
    booking = running.sale.hold("alice")
    with pytest.raises(Conflict, match="has not chosen"):
        mark(running, booking)
    with pytest.raises(NotFound):
        mark(running, UUID(int=1))
    with transaction() as conn, pytest.raises(NotFound):
        receipt = {"reference": "1", "amount": PRICE, "currency": "EUR"}
        offline.record_payment(conn, 999, event, booking, receipt)


def test_never_paid_it_expires(running: Running, event: int) -> None:
    booking = choose(running)
    running.pass_deadline(booking)
    with running.work():
        running.wait_for(booking, "expired")
    assert payment_of(running, booking)["state"] == "voided"
    assert running.seats(booking) == []
    running.check()


def test_paid_at_the_last_moment_it_is_confirmed(running: Running, event: int) -> None:
    """The deadline has passed; the saga had not yet given the payment up."""
    booking = choose(running)
    running.pass_deadline(booking)
    assert running.booking(booking)["state"] == "expiring"
    mark(running, booking)
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_while_it_is_given_up_nobody_can_mark_it(running: Running, event: int) -> None:
    """Between the two lines of the saga that give it up and that write it down."""
    from tasks import attempts, bookings

    booking = choose(running)
    running.pass_deadline(booking)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    outcome = attempts.stop(progress, spare_authorised=True)
    with pytest.raises(Conflict, match="just being ended"):
        mark(running, booking)
    bookings.settle(lease, progress, outcome)
    assert running.booking(booking)["state"] == "expired"
    assert mark(running, booking)["late"]


def test_paid_too_late_it_goes_back(running: Running, event: int) -> None:
    """Nobody can have seats for it: it is owed, and the buyer is told."""
    booking = choose(running)
    running.pass_deadline(booking)
    with running.work():
        running.wait_for(booking, "expired")
        for _ in range(2):
            assert mark(running, booking)["late"]
        wait_until(lambda: books(running, booking)["refunded"] == PRICE)
    assert "too late" in body(mail(running, "We return 105.00 EUR for Evening"))
    (owed,) = books(running, booking)["refunds"]
    assert (owed["state"], owed["cause"]) == ("pending", "odd_money")
    running.check()
    pay_back(running, booking, owed["id"])
    with running.work():
        wait_until(lambda: refund(running, owed["id"])["state"] == "succeeded")
    assert payment_of(running, booking)["state"] == "failed"
    running.check()


def test_a_refund_is_pending_until_it_was_paid(running: Running, event: int) -> None:
    booking = paid(running)
    answer = ask(running, booking)
    with running.work():
        wait_until(lambda: refund(running, answer["id"])["gateway_ref"])
    assert refund(running, answer["id"])["state"] == "pending"
    running.check()
    for _ in range(2):
        pay_back(running, booking, answer["id"])
    with running.work():
        wait_until(lambda: refund(running, answer["id"])["state"] == "succeeded")
        wait_until(lambda: not running.tasks("refund"))
    mail(running, "105.00 EUR goes back to you for Evening")
    query = "select action from audit_log where action like 'offline %' order by id"
    actions = [row["action"] for row in running.conn.execute(query)]
    assert actions == ["offline payment received", "offline refund paid"]
    running.check()


def test_a_refund_of_the_gateway_cannot_be_marked(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    answer = ask(running, booking)
    with pytest.raises(Conflict, match="The gateway pays"):
        pay_back(running, booking, answer["id"])


def test_a_cancelled_event(running: Running, event: int) -> None:
    """One paid, one that never will be, one whose money comes after that."""
    booking, waiting, late = paid(running), choose(running, "bob"), choose(running, "carol")
    cancel(running)
    with running.work():
        wait_until(lambda: running.booking(waiting)["state"] == "cancelled")
        wait_until(lambda: books(running, booking)["refunded"] == PRICE)
        wait_until(lambda: running.booking(late)["state"] == "cancelled")
        mark(running, late, reference="receipt 3")
        wait_until(lambda: books(running, late)["refunded"] == PRICE)
        for each in (booking, late):
            (owed,) = books(running, each)["refunds"]
            pay_back(running, each, owed["id"])
        wait_until(lambda: is_over(running) and not running.tasks("refund"))
    running.check()


def test_an_event_that_only_the_box_office_sells_needs_no_gateway(
    running: Running, event: int
) -> None:
    running.conn.execute("update events set payment_methods = '{}'")
    running.conn.execute("insert into outages select id from gateway_accounts")
    booking = paid(running)
    assert running.booking(booking)["state"] == "confirmed"
    query = "select outcome from start_payment(%s, %s, %s, 'pm_card_visa', '')"
    other = running.sale.hold("bob")
    values = [running.sale.event, other, running.booking(other)["buyer_id"]]
    assert running.conn.execute(query, values).fetchall() == [{"outcome": "no_such_method"}]
