"""The saga of a booking against the sandbox: every way that paying can go, to its end."""

import threading
from typing import Any

import pytest

from db.payments import payments
from tests.support.mails import templates
from tests.support.paying import (
    PRICE,
    THREE_DS,
    carry_on,
    nothing_taken,
    paid_once,
    waits_for_buyer,
)
from tests.support.running import Running
from tests.support.waiting import wait_until

CREATE, CAPTURE = "POST /v1/payment_intents", "POST /v1/payment_intents/{id}/capture"
CANCEL = "POST /v1/payment_intents/{id}/cancel"


def test_success(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking)
        running.wait_for(booking, "confirmed")
    assert running.payment(payment)["captured"] == PRICE
    assert running.seats(booking) == ["sold", "sold"]
    assert paid_once(running, booking)
    assert running.dead_letters() == []
    running.check()


def test_many_at_once(running: Running) -> None:
    bookings = [running.sale.hold(f"buyer{n}") for n in range(12)]
    with running.work(threads=8, relays=2):
        for booking in bookings:
            running.pay(booking)
        for booking in bookings:
            running.wait_for(booking, "confirmed")
    assert all(paid_once(running, booking) for booking in bookings)
    running.check()


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ],
)
def test_declined_then_a_good_card(running: Running, card: str, code: str) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        first = running.pay(booking, card)
        running.wait_for(booking, "held")
        assert running.payment(first)["failure_code"] == code
        assert running.seats(booking) == ["held", "held"]
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def test_3ds_approved(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        shown = running.payment(payment)
        assert shown["client_secret"]
        assert shown["next_action"]["type"] == "redirect_to_url"
        running.sandbox.authenticate(shown["gateway_ref"], "approve")
        assert running.notify(payment, "authorised")
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def test_3ds_failed_leaves_nothing_that_a_browser_could_try_again(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        running.sandbox.authenticate(running.payment(payment)["gateway_ref"], "fail")
        running.notify(payment, "failed")
        running.wait_for(booking, "held")
    (intent,) = running.intents(booking)
    assert intent["status"] == "canceled"
    assert running.payment(payment)["state"] == "failed"
    assert running.payment(payment)["failure_code"] == "payment_intent_authentication_failure"
    running.check()


def test_3ds_never_answered_frees_the_seats(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        running.pass_deadline(booking)
        running.wait_for(booking, "expired")
    assert running.payment(payment)["state"] == "voided"
    assert running.intents(booking)[0]["status"] == "canceled"
    assert running.seats(booking) == []
    running.check()


def test_3ds_approved_at_the_last_moment_secures_the_seats(running: Running) -> None:
    """The buyer authenticated in time; nobody had told us when the deadline passed."""
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        running.sandbox.authenticate(running.payment(payment)["gateway_ref"], "approve")
        running.pass_deadline(booking)
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def test_a_payment_on_its_way_at_the_deadline_is_kept(running: Running) -> None:
    """Its request was answered late: by then the booking was expiring, and it is secured."""
    from tasks import bookings
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    outcome = stripe_payments.authorise(progress)
    running.pass_deadline(booking)
    assert running.booking(booking)["state"] == "expiring"
    bookings.settle(lease, progress, outcome)
    assert running.booking(booking)["state"] == "secured"
    carry_on(lease)
    assert running.booking(booking)["state"] == "confirmed"
    assert running.payment(payment)["state"] == "captured"
    running.check()


def test_a_payment_on_its_way_when_the_buyer_gave_up_is_voided(running: Running) -> None:
    """The cancellation was accepted before anybody knew that the money was reserved."""
    from tasks import bookings
    from tasks.durable.leases import MovedOn
    from tasks.gateways.registry import gateway_of

    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    outcome = gateway_of(progress).authorise(progress)
    assert running.cancel(booking) == "authorising"
    with pytest.raises(MovedOn):
        bookings.settle(lease, progress, outcome)
    carry_on(lease)
    assert running.booking(booking)["state"] == "cancelled"
    assert running.payment(payment)["state"] == "voided"
    assert nothing_taken(running, booking)
    running.check()


def test_what_was_never_sent_expires_at_once(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    running.pass_deadline(booking)
    with running.work():
        running.wait_for(booking, "expired")
    assert running.payment(payment)["failure_code"] == "not_sent"
    assert running.sandbox.calls()["total"] == 0
    running.check()


def test_a_lost_request_may_still_arrive_so_its_seats_wait(running: Running) -> None:
    """Sent, no answer, and the gateway has not heard of it: that counts after a minute only."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    lost = "update payments set state = 'unknown', first_sent_at = now(), updated_at = now()"
    running.conn.execute(lost)
    running.conn.execute("update bookings set state = 'expiring'")
    with running.work():
        wait_until(lambda: any("on its way" in str(t["errors"]) for t in running.tasks()))
        assert running.booking(booking)["state"] == "expiring"
        assert running.seats(booking) == ["held", "held"]
        past = "now() - interval '2 min'"
        running.conn.execute(f"update payments set first_sent_at = {past}, updated_at = {past}")
        running.wait_for(booking, "expired")
    assert running.payment(payment)["state"] == "failed"
    running.check()


def test_an_authorisation_that_lapsed_before_its_capture(running: Running) -> None:
    from tasks import bookings

    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    lease = running.lease()
    bookings.authorise(lease, (bookings.next_step(lease) or pytest.fail("nothing to do"))[1])
    assert running.booking(booking)["state"] == "secured"
    running.sandbox.lapse(running.payment(payment)["gateway_ref"])
    carry_on(lease)
    assert running.booking(booking)["state"] == "failed"
    assert running.booking(booking)["reason"] == "authorisation_lapsed"
    assert running.payment(payment)["state"] == "voided"
    assert running.seats(booking) == []
    assert running.tasks() == []
    running.check()


@pytest.mark.parametrize("call", [CREATE, CAPTURE])
@pytest.mark.parametrize("kind", ["fail_before", "fail_after", "drop_before", "drop_after"])
def test_one_charge_whatever_happens_to_a_call(running: Running, call: str, kind: str) -> None:
    """500s, which the gateway repeats under their key, and answers that are lost after the work."""
    booking = running.sale.hold("alice")
    running.sandbox.faults(next=[{"call": call, "kind": kind}])
    with running.work():
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    assert running.dead_letters() == []
    running.check()


@pytest.mark.parametrize("kind", ["fail_before", "fail_after", "drop_before", "drop_after"])
def test_a_cancellation_gets_through(running: Running, kind: str) -> None:
    """A gateway that failed once repeats that under the same key for a day."""
    booking = running.sale.hold("alice")
    running.sandbox.faults(next=[{"call": CANCEL, "kind": kind}])
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        running.pass_deadline(booking)
        running.wait_for(booking, "expired")
    assert running.intents(booking)[0]["status"] == "canceled"
    assert running.sandbox.calls()["total"] < 20
    running.check()


def waits(task: dict[str, Any]) -> int:
    """How often a task was to run later, as its history counts."""
    return sum(e.get("times", 1) for e in task["errors"] if e["kind"] == "later")


def test_rate_limits_are_no_failures(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.sandbox.faults(next=[{"call": CREATE, "kind": "lock_timeout", "times": 15}])
    with running.work():
        running.pay(booking)
        wait_until(lambda: sum(waits(t) for t in running.tasks()) >= 13)
        (task,) = running.tasks()
        assert task["failures"] == 0
        running.wait_for(booking, "confirmed")
    assert running.dead_letters() == []
    assert running.conn.execute("select from outages").fetchall() == []
    assert paid_once(running, booking)


def test_a_slow_gateway(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.sandbox.faults(latency_ms=300)
    with running.work():
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)


def test_a_wrong_amount_is_never_accepted(running: Running) -> None:
    """The gateway has less than was asked for: it is voided, and a person is called."""
    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    running.conn.execute("update payments set params = params || '{\"amount\": 999}'")
    with running.work():
        running.wait_for(booking, "held")
        (letter,) = running.dead_letters()
        assert "WrongMoney: asked for 10500 EUR, the gateway has 999 EUR" in letter["reason"]
        assert letter["booking_id"] == booking
        assert running.payment(payment)["state"] == "voided"
        assert running.payment(payment)["failure_code"] == "wrong_money"
        assert nothing_taken(running, booking)
        running.check()
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    assert templates(running, booking) == ["confirmed"], "nobody is told that it is being checked"
    running.check()


def test_a_wrong_amount_after_the_deadline_frees_the_seats(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        running.sandbox.authenticate(running.payment(payment)["gateway_ref"], "approve")
        running.conn.execute("update payments set amount = 9999")
        running.pass_deadline(booking)
        running.wait_for(booking, "expired")
    assert len(running.dead_letters()) == 1
    assert nothing_taken(running, booking)
    running.check()


def test_a_buyer_who_gives_up_while_paying_is_not_charged(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        running.sandbox.authenticate(running.payment(payment)["gateway_ref"], "approve")
        assert running.cancel(booking) == "authorising"
        running.wait_for(booking, "cancelled")
    assert running.booking(booking)["reason"] == "buyer"
    assert nothing_taken(running, booking)
    assert running.payment(payment)["state"] == "voided"
    assert templates(running, booking) == ["cancelled"]
    running.check()


def test_a_notification_before_the_reply(running: Running) -> None:
    booking = running.sale.hold("alice")
    running.sandbox.faults(latency_ms=300)
    with running.work():
        payment = running.pay(booking)
        wait_until(lambda: running.payment(payment)["first_sent_at"])
        assert running.notify(payment, "authorised")
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def test_a_notification_while_the_task_ends_is_not_lost(running: Running) -> None:
    """First order: it arrives after the last look at the gateway, before the task is deleted."""
    from tasks import bookings
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    payment = running.pay(booking, THREE_DS)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    outcome = stripe_payments.authorise(progress)
    running.sandbox.authenticate(outcome.gateway_ref, "approve")
    running.notify(payment, "authorised")
    bookings.settle(lease, progress, outcome)
    (task,) = running.tasks()
    assert task["lease_token"] is None
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_a_notification_that_waits_for_the_task_to_end_makes_a_new_one(running: Running) -> None:
    """Second order: it arrives while the transaction that deletes the task is not yet committed."""
    from tasks import bookings
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    payment = running.pay(booking, THREE_DS)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    outcome = stripe_payments.authorise(progress)
    running.sandbox.authenticate(outcome.gateway_ref, "approve")
    notifier = threading.Thread(target=running.notify, args=[payment, "authorised"])
    with lease.transaction() as conn:
        payments.record(conn, progress, outcome)
        bookings.wait_for_buyer(lease, conn, progress)
        notifier.start()
        wait_until(running.somebody_waits)
    notifier.join()
    assert len(running.tasks()) == 1
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_money_of_a_payment_written_down_as_failed_goes_back(running: Running) -> None:
    """A request that was given up as lost arrives after all: its notification has it voided."""
    booking = running.sale.hold("alice")
    with running.work():
        payment = running.pay(booking, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
        with running.conn.transaction():
            running.conn.execute(
                "update payments set state = 'failed', failure_code = 'not_sent' where id = %s",
                [payment],
            )
            running.conn.execute(
                "update bookings set state = 'held', payment_id = null where id = %s", [booking]
            )
        (intent,) = running.intents(booking)
        running.sandbox.authenticate(intent["id"], "approve")
        assert [i["held"] for i in running.intents(booking)] == [PRICE]
        assert running.notify(payment, "authorised")
        wait_until(lambda: nothing_taken(running, booking) and not running.tasks())
    assert running.payment(payment)["state"] == "failed"
    assert running.booking(booking)["state"] == "held"
    assert running.dead_letters() == []
