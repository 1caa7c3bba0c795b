"""Refunds against the sandbox: paid once, never more than was taken, whatever happens to a call."""

from uuid import UUID

import pytest

from db.payments import refunds
from db.runtime.errors import Conflict, InvalidRequest, NotFound
from tests.support.dashboard import dashboard
from tests.support.gateway_calls import at_once
from tests.support.mails import body
from tests.support.paying import confirmed
from tests.support.refunding import (
    FEE,
    ask,
    books,
    carry_out,
    failed,
    given_back,
    refund,
    settle,
    tickets,
    told,
)
from tests.support.running import Running
from tests.support.waiting import wait_until

CREATE, LIST = "POST /v1/refunds", "GET /v1/refunds"
SEAT, PRICE = 5250, 10500


def wait_for_mails(running: Running, count: int) -> None:
    wait_until(lambda: len(running.catcher.mails("alice@usher.example")) == count)


def test_a_whole_booking(running: Running) -> None:
    booking = confirmed(running)
    answer = ask(running, booking)
    assert answer["booking_state"] == "cancelled"
    assert len(answer["returned"]) == 2
    assert tickets(running, booking) == []
    assert running.seats(booking) == []
    carry_out(running, answer["id"])
    assert given_back(running, booking) == PRICE
    assert books(running, booking)["refunded"] == PRICE
    assert books(running, booking)["available"] == 0
    assert refund(running, answer["id"])["requested_by"] == "organiser:1"
    running.check()


def test_one_ticket_leaves_the_other(running: Running) -> None:
    booking = confirmed(running)
    first, second = tickets(running, booking)
    answer = ask(running, booking, tickets=[first])
    assert answer["booking_state"] == "confirmed"
    assert answer["returned"] == [first]
    assert tickets(running, booking) == [second]
    assert running.seats(booking) == ["sold"]
    carry_out(running, answer["id"])
    assert given_back(running, booking) == SEAT
    assert [len(r["seats"]) for r in books(running, booking)["refunds"]] == [1]
    running.check()
    last = ask(running, booking, tickets=[second])
    assert last["booking_state"] == "cancelled"
    carry_out(running, last["id"])
    assert given_back(running, booking) == PRICE
    running.check()


def test_without_fees_the_rest_is_kept(running: Running) -> None:
    booking = confirmed(running)
    answer = ask(running, booking, with_fees=False)
    carry_out(running, answer["id"])
    assert given_back(running, booking) == PRICE - 2 * FEE
    payment = running.payment(running.booking(booking)["payment_id"])
    assert payment["kept"] == 2 * FEE
    running.check()
    later = ask(running, booking, amount=FEE)
    carry_out(running, later["id"])
    assert given_back(running, booking) == PRICE - FEE
    running.check()


def test_an_amount_alone_leaves_the_tickets(running: Running) -> None:
    booking = confirmed(running)
    answer = ask(running, booking, amount=1000)
    assert answer["returned"] == []
    assert len(tickets(running, booking)) == 2
    carry_out(running, answer["id"])
    assert given_back(running, booking) == 1000
    assert running.booking(booking)["state"] == "confirmed"
    rest = ask(running, booking)
    assert rest["refund"]["amount"] == PRICE - 1000
    carry_out(running, rest["id"])
    assert given_back(running, booking) == PRICE
    running.check()


def test_never_more_than_was_captured(running: Running) -> None:
    booking = confirmed(running)
    ask(running, booking, amount=PRICE)
    with pytest.raises(Conflict) as refused:
        ask(running, booking, amount=1)
    assert refused.value.details == {"conflict_reason": "more_than_captured", "available": 0}
    beyond = "update refunds set amount = amount + 1"
    with pytest.raises(Exception, match="payments_refunded"):
        running.conn.execute(beyond)
    none_left = ask(running, booking)
    assert (none_left["refund"], none_left["booking_state"]) == (None, "cancelled")
    running.check()


def test_two_at_once_do_not_give_back_more(running: Running) -> None:
    booking = confirmed(running)
    results = at_once(*[lambda: ask(running, booking, amount=6000)] * 4)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["dict"]
    assert books(running, booking)["refunded"] == 6000
    running.check()


def test_a_seat_goes_to_whoever_waits_for_it(running: Running) -> None:
    booking = confirmed(running)
    running.conn.execute("update seats set state = 'blocked' where state = 'free'")
    entry = running.sale.join("bob", 2, 1)
    ask(running, booking)
    with running.work():
        query = "select state from entries where id = %s"
        wait_until(lambda: running.conn.execute(query, [entry]).fetchall()[0]["state"] == "booked")
    running.check()


def test_a_seat_is_kept_from_sale(running: Running) -> None:
    booking = confirmed(running)
    ask(running, booking, resell=False)
    states = "select state, count(*) as n from seats where state <> 'free' group by 1"
    assert running.conn.execute(states).fetchall() == [{"state": "blocked", "n": 2}]
    assert running.conn.execute("select seats from buyer_seats").fetchall() == [{"seats": 0}]


def test_free_tickets_cost_nothing_to_return(running: Running) -> None:
    booking = running.sale.hold("alice", category=2)
    answer = ask(running, booking)
    assert (answer["refund"], answer["booking_state"]) == (None, "cancelled")
    assert len(answer["returned"]) == 2
    running.check()


def test_the_buyer_is_told_once_for_each_refund(running: Running) -> None:
    booking = confirmed(running)
    first, second = tickets(running, booking)
    with running.work():
        for ticket, mails in ((first, 2), (second, 3)):
            ask(running, booking, tickets=[ticket])
            wait_for_mails(running, mails)
    last, earlier, _ = running.catcher.mails("alice@usher.example")
    assert last["Subject"] == "52.50 EUR goes back to you for Evening"
    assert "Tickets that have a code here stay valid" in body(earlier)
    assert body(earlier).count("ticket ") == 1
    assert "The booking is over" in body(last)
    running.check()


def test_a_booking_that_was_not_paid_has_nothing_to_give_back(running: Running) -> None:
    booking = running.sale.hold("alice")
    with pytest.raises(Conflict, match="held has no tickets"):
        ask(running, booking)
    with pytest.raises(Conflict, match="Only 0"):
        ask(running, booking, amount=1)


def test_only_its_own_valid_tickets(running: Running) -> None:
    alices, bobs = confirmed(running), confirmed(running, "bob")
    (one, _), (other, _) = tickets(running, alices), tickets(running, bobs)
    for wrong in ([other], [one, other], [UUID(int=1)]):
        with pytest.raises(InvalidRequest):
            ask(running, alices, tickets=wrong)
    ask(running, alices, tickets=[one])
    with pytest.raises(InvalidRequest):
        ask(running, alices, tickets=[one])
    assert len(tickets(running, alices)) == 1
    with pytest.raises(NotFound):
        refunds.request_refund(
            running.conn, 999, running.sale.event, alices, {"tickets": None, "amount": 1,
            "with_fees": True, "resell": True, "reason": "ill"}
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["fail_before", "fail_after", "drop_before", "drop_after"])
def test_paid_once_whatever_happens_to_the_call(running: Running, kind: str) -> None:
    booking = confirmed(running)
    running.sandbox.faults(next=[{"call": CREATE, "kind": kind}])
    answer = ask(running, booking, amount=1000)
    carry_out(running, answer["id"])
    assert given_back(running, booking) == 1000
    assert running.dead_letters() == []
    running.check()


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_lost_reply_is_looked_for_when_its_key_is_too_old(running: Running, kind: str) -> None:
    """The gateway has forgotten the key by then: only a look at the list can tell."""
    from tasks import refunds as task
    from tasks.gateways.stripe import refunds as stripe_refunds

    booking = confirmed(running)
    answer = ask(running, booking, amount=1000)
    lease = running.lease("refund")
    progress = task.begin(lease)
    assert progress
    running.sandbox.faults(next=[{"call": CREATE, "kind": kind}])
    with pytest.raises(Exception, match="Connection"):
        stripe_refunds.refund(progress)
    a_week = "update refunds set first_sent_at = now() - interval '7 d', updated_at = now() - {}"
    running.conn.execute(a_week.format("interval '7 d'").encode())
    running.conn.execute("update outbox set lease_until = now() where actor = 'refund'")
    carry_out(running, answer["id"])
    assert given_back(running, booking) == 1000
    assert refund(running, answer["id"])["idempotency_n"] == (2 if kind == "drop_before" else 1)
    sent = [call for call in running.sandbox.calls()["latest"] if call["call"] == CREATE]
    assert len(sent) == (2 if kind == "drop_before" else 1)
    running.check()


def test_an_old_key_that_was_just_used_waits(running: Running) -> None:
    """The last try may still be on its way to the gateway."""
    from tasks.durable.leases import TryLater
    from tasks.gateways.stripe import refunds as stripe_refunds

    booking = confirmed(running)
    answer = ask(running, booking, amount=1000)
    running.conn.execute(
        "update refunds set first_sent_at = now() - interval '21 h', updated_at = now()"
    )
    progress = refunds.get_progress(running.conn, answer["id"])
    with pytest.raises(TryLater, match="on its way"):
        stripe_refunds.refund(progress)


def test_what_the_gateway_refuses_is_owed(running: Running) -> None:
    """Somebody gave the money back by hand, so there is none left: a person has to look."""
    booking = confirmed(running)
    answer = ask(running, booking)
    running.conn.execute("update refunds set params = params || '{\"amount\": 999999}'")
    carry_out(running, answer["id"], "failed")
    assert given_back(running, booking) == 0
    (letter,) = running.dead_letters()
    assert letter["booking_id"] == booking
    assert "RefundFailed" in letter["reason"]
    found = books(running, booking)
    assert (found["owed"], found["refunded"], found["available"]) == (PRICE, 0, PRICE)
    running.check()


def test_a_success_can_fail_later(running: Running) -> None:
    booking = confirmed(running)
    answer = ask(running, booking)
    carry_out(running, answer["id"])
    assert books(running, booking)["refunded"] == PRICE
    running.sandbox.settle_refund(refund(running, answer["id"])["gateway_ref"], "failed")
    told(running, answer["id"], "failed")
    carry_out(running, answer["id"], "failed")
    found = books(running, booking)
    assert (found["owed"], found["refunded"], found["available"]) == (PRICE, 0, PRICE)
    (letter,) = running.dead_letters()
    assert "expired_or_canceled_card" in letter["reason"]
    running.check()


def test_what_is_owed_is_tried_anew(running: Running) -> None:
    booking, first = failed(running)
    anew = settle(running, booking, first)
    assert books(running, booking)["owed"] == 0
    assert len(anew["seats"]) == 2
    carry_out(running, anew["id"])
    assert given_back(running, booking) == PRICE
    assert refund(running, first)["retried_by"] == anew["id"]
    assert [letter["resolution"] for letter in running.dead_letters()] == ["tried again"]
    running.check()
    with pytest.raises(Conflict, match="still owed"):
        settle(running, booking, first)


def test_what_is_owed_is_paid_otherwise(running: Running) -> None:
    booking, first = failed(running)
    assert settle(running, booking, first, "by bank transfer")["owed"] is False
    assert books(running, booking)["owed"] == 0
    assert running.dead_letters()[0]["resolution"] == "by bank transfer"
    running.check()
    with pytest.raises(Conflict, match="still owed"):
        settle(running, booking, first)


def test_what_was_paid_otherwise_cannot_be_given_back_again(running: Running) -> None:
    booking, owed = failed(running)
    settle(running, booking, owed, "by bank transfer")
    assert books(running, booking)["available"] == 0
    with pytest.raises(Conflict, match="Only 0"):
        ask(running, booking, amount=1)
    running.check()


def test_an_unexpected_payment_that_is_owed_does_not_pay_for_tickets(running: Running) -> None:
    """The first attempt was charged too much, and that could not be given back yet."""
    booking = running.sale.hold("alice")
    with running.work():
        odd = running.pay(booking, "pm_card_visa_chargeDeclined")
        running.wait_for(booking, "held")
    with running.conn.transaction():
        running.conn.execute("update payments set captured = 20000 where id = %s", [odd])
        running.conn.execute(
            "select refund_unexpected(%s, %s, 'wrong_money')", [running.sale.event, odd]
        )
        running.conn.execute("update refunds set state = 'failed'")
        running.conn.execute("delete from outbox where actor = 'refund'")
    with running.work():
        payment = running.pay(booking)
        running.wait_for(booking, "confirmed")
    first, rest, last = (
        refund(running, ask(running, booking, **asked)["id"])
        for asked in (
            {"tickets": tickets(running, booking)[:1]},
            {"amount": SEAT},
            {"amount": 20000},
        )
    )
    assert (first["payment_id"], rest["payment_id"], last["payment_id"]) == (payment, payment, odd)


def test_what_was_given_back_otherwise_meanwhile_is_not_tried_anew(running: Running) -> None:
    booking, first = failed(running)
    ask(running, booking, amount=1)
    with pytest.raises(Conflict, match="can still be refunded"):
        settle(running, booking, first)


def test_a_pending_refund_is_looked_at_when_we_are_told(running: Running) -> None:
    booking = confirmed(running, card="pm_card_pendingRefund")
    answer = ask(running, booking)
    with running.work():
        wait_until(lambda: refund(running, answer["id"])["gateway_ref"])
        wait_until(lambda: running.tasks("refund")[0]["lease_token"] is None)
        assert refund(running, answer["id"])["state"] == "pending"
        running.sandbox.settle_refund(refund(running, answer["id"])["gateway_ref"], "succeeded")
        told(running, answer["id"], "succeeded")
        wait_until(lambda: refund(running, answer["id"])["state"] == "succeeded")
        wait_until(lambda: not running.tasks("refund"))
    running.check()


def test_a_lost_reply_is_not_believed_when_it_is_repeated(running: Running) -> None:
    """Under its key the gateway repeats "pending", whatever the refund has become."""
    from tasks import refunds as task
    from tasks.gateways.stripe import refunds as stripe_refunds

    booking = confirmed(running, card="pm_card_pendingRefund")
    ask(running, booking)
    progress = task.begin(running.lease("refund"))
    assert progress
    first = stripe_refunds.refund(progress)
    assert (first.state, first.gateway_ref is None) == ("pending", False)
    running.sandbox.settle_refund(str(first.gateway_ref), "succeeded")
    assert stripe_refunds.refund(progress).state == "succeeded"


def test_a_wrong_key_is_no_verdict_on_the_refund(running: Running) -> None:
    """Refused for our rights' sake: it stays pending, and a person is called."""
    booking = confirmed(running)
    answer = ask(running, booking)
    dashboard().v1.refunds.create(
        {"payment_intent": str(refund(running, answer["id"])["params"]["payment_intent"])},
        {"idempotency_key": f"{answer['id']}:1"},
    )
    with running.work():
        wait_until(running.dead_letters)
    assert refund(running, answer["id"])["state"] == "pending"
    assert len(running.tasks("refund")) == 1
