"""Methods that cannot be authorised: secured, then charged at once; a bank may take days. And other
payments of which nothing is heard for long."""

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from requests import HTTPError

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
from tests.support.refunding import is_returned
from tests.support.running import Running
from tests.support.waiting import wait_until

GOOD, BAD = "pm_success_de", "pm_failed_de"
CREATE = "POST /v1/payment_intents"


@pytest.fixture(autouse=True)
def methods(running: Running) -> None:
    running.conn.execute("update events set payment_methods = '{card,sepa_debit}'")


def debit(running: Running, account: str = GOOD, name: str = "alice") -> tuple[UUID, UUID]:
    """A booking whose debit is on its way through the banks; its payment."""
    booking = running.sale.hold(name)
    payment = running.pay(booking, account, "sepa_debit")
    wait_until(lambda: processes(running, payment))
    return booking, payment


def processes(running: Running, payment: UUID) -> bool:
    """And our task waits."""
    (task,) = running.tasks() or [{"lease_token": 1}]
    return running.payment(payment)["state"] == "processing" and task["lease_token"] is None


def settle(running: Running, payment: UUID, outcome: str) -> None:
    """The banks are done, and tell us; by themselves, where the machine is so busy that their three
    seconds are over."""
    with suppress(HTTPError):
        running.sandbox.settle(str(running.payment(payment)["gateway_ref"]), outcome)
    running.notify(payment, "captured" if outcome == "succeeded" else "failed")


def test_its_seats_are_secured_before_it_is_charged(running: Running) -> None:
    """In the transaction that says that it is about to be sent."""
    from tasks import bookings

    booking = running.sale.hold("alice")
    running.pay(booking, GOOD, "sepa_debit")
    lease = running.lease()
    assert bookings.next_step(lease)
    assert running.sandbox.calls()["total"] == 0
    assert running.booking(booking)["state"] == "secured"
    running.pass_deadline(booking)
    assert running.booking(booking)["state"] == "secured"
    carry_on_until_waiting(lease)
    assert running.seats(booking) == ["held", "held"]
    running.check()


def carry_on_until_waiting(lease: Any) -> None:
    from tasks.durable.leases import TryLater

    with pytest.raises(TryLater, match="still processing"):
        carry_on(lease)


def test_it_is_confirmed_when_the_banks_are_done(running: Running) -> None:
    """Long after the deadline: nobody could have these seats meanwhile."""
    with running.work():
        booking, payment = debit(running)
        running.pass_deadline(booking)
        running.check()
        settle(running, payment, "succeeded")
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    assert running.dead_letters() == []
    running.check()


def test_declined_in_time_the_buyer_may_pay_otherwise(running: Running) -> None:
    with running.work():
        booking, payment = debit(running, BAD)
        settle(running, payment, "failed")
        running.wait_for(booking, "held")
        assert running.payment(payment)["failure_code"] == "payment_intent_payment_attempt_failed"
        assert running.intents(booking)[0]["status"] == "canceled"
        running.pay(booking)
        running.wait_for(booking, "confirmed")
    running.check()


def test_declined_after_the_deadline_it_is_over(running: Running) -> None:
    with running.work():
        booking, payment = debit(running, BAD)
        running.pass_deadline(booking)
        settle(running, payment, "failed")
        running.wait_for(booking, "failed")
    assert running.booking(booking)["reason"] == "declined"
    assert running.seats(booking) == []
    assert templates(running, booking) == ["failed"]
    running.check()


def test_money_for_a_booking_that_has_ended_goes_back(running: Running) -> None:
    with running.work():
        booking, payment = debit(running)
        running.conn.execute("update bookings set state = 'authorising'")
        running.sale.release(booking)
        settle(running, payment, "succeeded")
        wait_until(lambda: is_returned(running, booking))
    assert sorted(templates(running, booking)) == ["expired", "money_returned"]
    running.check()


@pytest.mark.parametrize("kind", ["fail_before", "fail_after", "drop_before", "drop_after"])
def test_one_charge_whatever_happens_to_the_call(running: Running, kind: str) -> None:
    running.sandbox.faults(next=[{"call": CREATE, "kind": kind}])
    with running.work():
        booking, payment = debit(running)
        settle(running, payment, "succeeded")
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def test_what_the_buyer_has_to_approve_first_can_expire(running: Running) -> None:
    """A redirect that nobody follows: no charge is under way, so the intent is cancelled."""
    booking = running.sale.hold("alice")
    payment = redirected(running, booking)
    with running.work():
        wait_until(lambda: waits_for_buyer(running, payment))
        assert running.booking(booking)["state"] == "authorising"
        running.check()
        running.pass_deadline(booking)
        running.wait_for(booking, "expired")
    assert nothing_taken(running, booking)
    assert running.intents(booking)[0]["status"] == "canceled"
    running.check()


def test_what_the_buyer_approves_at_the_last_moment_is_confirmed(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = redirected(running, booking)
    with running.work():
        wait_until(lambda: waits_for_buyer(running, payment))
        running.sandbox.authenticate(str(running.payment(payment)["gateway_ref"]), "approve")
        running.pass_deadline(booking)
        running.wait_for(booking, "confirmed")
    assert paid_once(running, booking)
    running.check()


def redirected(running: Running, booking: UUID) -> UUID:
    """As with a bank's page: the sandbox knows redirects of cards only, so a card is charged at
    once."""
    payment = running.pay(booking, THREE_DS)
    running.conn.execute(
        "update payments set method = 'ideal',"
        ' params = params || \'{"capture_method": "automatic"}\''
    )
    return payment


def test_refunds_of_a_debit(running: Running) -> None:
    from tests.support.refunding import ask, carry_out, given_back

    with running.work():
        booking, payment = debit(running)
        settle(running, payment, "succeeded")
        running.wait_for(booking, "confirmed")
    carry_out(running, ask(running, booking)["id"])
    assert given_back(running, booking) == PRICE
    running.check()


# Nothing is processed for ever


def test_a_debit_that_takes_too_long_calls_a_person_and_goes_on(running: Running) -> None:
    with running.work():
        booking, payment = debit(running)
        running.conn.execute("update payments set updated_at = now() - interval '15 d'")
        wake(running)
        wait_until(running.dead_letters)
        (letter,) = running.dead_letters()
        assert "StillProcessing" in letter["reason"]
        assert templates(running, booking) == ["being_checked"]
        assert shown(running, booking)["being_checked"]
        running.check()
        settle(running, payment, "succeeded")
        running.wait_for(booking, "confirmed")
    assert all(letter["resolved_at"] for letter in running.dead_letters())
    assert not shown(running, booking)["being_checked"]
    running.check()


def wake(running: Running) -> None:
    """Its task need not wait until the gateway is asked again."""
    running.conn.execute("update outbox set run_at = now(), resend_at = now()")


def shown(running: Running, booking: UUID) -> dict[str, Any]:
    """As the buyer sees it."""
    from db.bookings import bookings

    buyer = running.booking(booking)["buyer_id"]
    return bookings.get_booking(running.conn, running.sale.event, booking, buyer)


def test_a_payment_in_doubt_is_being_checked_and_the_buyer_told_once(running: Running) -> None:
    """Its task has failed twelve times: it goes on, at most 5 minutes apart."""
    from tasks.durable import backoff
    from tasks.gateways import errors

    booking = running.sale.hold("alice")
    running.pay(booking)
    running.conn.execute("update outbox set failures = 10 where actor = 'advance'")
    for failures in (11, 12, 13):
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        backoff.record_failure(running.lease(), errors.UnknownOutcome())
        assert shown(running, booking)["being_checked"] == (failures > 11)
    assert templates(running, booking) == ["being_checked"]
    running.check()
    with running.work():
        running.wait_for(booking, "confirmed")
    assert templates(running, booking) == ["being_checked", "confirmed"]
    assert all(letter["resolved_at"] for letter in running.dead_letters())
    running.check()


@pytest.mark.parametrize(
    "lapses",
    [
        "capture_before = now() + interval '11 h'",
        "capture_before = null, first_sent_at = now() - interval '157 h'",
    ],
)
def test_an_authorisation_about_to_lapse_is_voided(running: Running, lapses: str) -> None:
    """Its capture has not worked for days."""
    from tasks import bookings

    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    lease = running.lease()
    bookings.authorise(lease, (bookings.next_step(lease) or pytest.fail("nothing to do"))[1])
    running.conn.execute(f"update payments set {lapses}".encode())
    carry_on(lease)
    assert running.booking(booking)["reason"] == "authorisation_lapsed"
    assert running.payment(payment)["state"] == "voided"
    assert running.intents(booking)[0]["status"] == "canceled"
    assert templates(running, booking) == ["failed"]
    running.check()


# The gateway cannot be reached


def outage(running: Running, minutes: int) -> None:
    running.conn.execute(
        "insert into outages (gateway_account_id, opened_at)"
        " select id, now() - make_interval(mins => %s) from gateway_accounts",
        [minutes],
    )


def withdrawing(running: Running, payment: UUID) -> Any:
    """The deadline is over while the gateway has not answered; the lease of the task."""
    running.conn.execute("update payments set state = 'unknown', first_sent_at = now()")
    running.conn.execute("update bookings set state = 'expiring', reason = 'deadline'")
    return running.lease()


def test_after_15_minutes_the_seats_of_a_card_do_not_wait_for_it(running: Running) -> None:
    from tasks import bookings
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    payment = running.pay(booking)
    lease = withdrawing(running, payment)
    outage(running, 16)
    step, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    step(lease, progress)
    row = running.booking(booking)
    assert (row["state"], row["reason"]) == ("expired", "gateway_away")
    assert running.seats(booking) == []
    assert running.payment(payment)["state"] == "unknown", "it is voided when the gateway is back"
    assert templates(running, booking) == ["expired"]
    running.check()
    running.conn.execute("delete from outages")
    progress = payments.get_progress(running.conn, running.sale.event, booking)
    made = stripe_payments.authorise(progress)
    assert made.state == "authorised"
    carry_on(lease)
    assert running.payment(payment)["state"] == "voided"
    assert nothing_taken(running, booking)
    running.check()


@pytest.mark.parametrize(("minutes", "method"), [(14, "card"), (16, "sepa_debit")])
def test_sooner_or_with_another_method_they_wait(
    running: Running, minutes: int, method: str
) -> None:
    from tasks import bookings

    booking = running.sale.hold("alice")
    payment = running.pay(booking, GOOD, method)
    lease = withdrawing(running, payment)
    outage(running, minutes)
    step, _ = bookings.next_step(lease) or pytest.fail("nothing to do")
    assert step is bookings.withdraw
    assert running.seats(booking) == ["held", "held"]


@pytest.mark.parametrize("sent", [False, True])
def test_nobody_is_charged_long_after_the_time_to_pay(running: Running, sent: bool) -> None:
    """The gateway was away when the debit was to be sent, or its answer was lost. What was sent
    counts; what was not is not sent any more."""
    from tasks import bookings
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    payment = running.pay(booking, GOOD, "sepa_debit")
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    assert running.booking(booking)["state"] == "secured"
    if sent:
        stripe_payments.authorise(progress)
    outage(running, 60)
    running.conn.execute("update bookings set created_at = now() - interval '1 hour'")
    running.conn.execute("update bookings set deadline = now() - interval '40 min'")
    step, _ = bookings.next_step(lease) or pytest.fail("nothing to do")
    assert step is bookings.authorise, "outages are credited"
    running.conn.execute("delete from outages")
    running.conn.execute("update outbox set lease_until = now() where actor = 'advance'")
    if not sent:
        running.conn.execute("update payments set updated_at = now() - interval '2 min'")
    with running.work():
        running.wait_for(booking, "confirmed" if sent else "failed")
    assert bool(running.intents(booking)) == sent
    if not sent:
        assert running.payment(payment)["failure_code"] == "not_sent"
        assert running.seats(booking) == []
    running.check()


def test_who_gave_up_is_told_so_when_the_gateway_is_away(running: Running) -> None:
    from tasks import bookings

    booking = running.sale.hold("alice")
    lease = withdrawing(running, running.pay(booking))
    running.conn.execute("update bookings set reason = 'buyer'")
    outage(running, 16)
    step, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    step(lease, progress)
    assert running.booking(booking)["state"] == "cancelled"
    assert templates(running, booking) == ["cancelled"]
    running.check()
