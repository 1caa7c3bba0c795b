"""Cancelling an event: everybody is told, every seat taken back, every payment given back once."""

from email.message import EmailMessage
from uuid import UUID

import psycopg
import pytest

from tests.support.mails import body
from tests.support.paying import PRICE, THREE_DS, approved, confirmed, waits_for_buyer
from tests.support.refunding import FEE, cancel, given_back, is_over, progress
from tests.support.running import Running
from tests.support.waiting import wait_until


def state_of_entry(running: Running, entry: UUID) -> str:
    query = "select state from entries where id = %s"
    return str(running.conn.execute(query, [entry]).fetchall()[0]["state"])


def told(running: Running, name: str) -> list[EmailMessage]:
    """The mails that say that the event is cancelled."""
    mails = running.catcher.mails(f"{name}@usher.example")
    return [mail for mail in mails if mail["Subject"] == "Evening is cancelled"]


def test_everything_is_taken_back(running: Running) -> None:
    paid = [confirmed(running, name) for name in ("alice", "bob")]
    free = running.sale.hold("charlie", category=2)
    held = running.sale.hold("dora")
    paying = running.sale.hold("emil")
    with running.work():
        payment = running.pay(paying, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
    running.conn.execute("update lanes set paused = true")
    waiting = running.sale.join("frida", 2, 1)
    everybody = ("alice", "bob", "charlie", "dora", "emil")
    cancel(running)
    assert progress(running)["bookings"] == 3
    with running.work():
        wait_until(lambda: is_over(running))
        wait_until(lambda: state_of_entry(running, waiting) == "unavailable")
        wait_until(lambda: all(told(running, name) for name in everybody))
    for booking in (*paid, free, held, paying):
        found = running.booking(booking)
        assert (found["state"], found["reason"]) == ("cancelled", "event_cancelled")
        assert running.seats(booking) == []
    assert [given_back(running, booking) for booking in paid] == [PRICE, PRICE]
    assert running.payment(payment)["state"] == "voided"
    (mail,) = told(running, "alice")
    assert "the tenor is ill" in body(mail)
    assert "105.00 EUR goes back" in body(mail)
    done = progress(running)
    assert (done["bookings"], done["cancelled"]) == (3, 3)
    assert (done["requested"], done["succeeded"], done["failed"]) == (2, 2, 0)
    assert (done["amount"], done["owed"]) == (2 * PRICE, 0)
    assert running.dead_letters() == []
    running.check()


@pytest.mark.parametrize("category", [1, 2])
@pytest.mark.parametrize("direct", [True, False])
def test_whoever_is_just_booking_is_taken_back_too(
    running: Running, database_url: str, direct: bool, category: int
) -> None:
    """The booking saw the event on sale, and is committed when the cancelling has begun."""
    alice = running.sale.add_buyer("alice")
    running.conn.execute("update events set gated = false")
    book = "select book_seats(%s, %s, null, 2, %s, true, 0, null, false, null)"
    if not direct:
        running.sale.join("alice", 2, category)
    with psycopg.connect(database_url) as slow:
        if direct:
            slow.execute(book, [running.sale.event, alice, category])
        else:
            slow.execute("select drain_lane(next_lane(), 100)")
        cancel(running)
        with running.work():
            wait_until(lambda: running.somebody_waits() or is_over(running))
            slow.commit()
            wait_until(lambda: is_over(running))
    (booking,) = running.conn.execute("select state, reason from bookings").fetchall()
    assert booking == {"state": "cancelled", "reason": "event_cancelled"}
    running.check()


def test_without_fees(running: Running) -> None:
    booking = confirmed(running)
    cancel(running, with_fees=False)
    with running.work():
        wait_until(lambda: is_over(running))
    assert given_back(running, booking) == PRICE - 2 * FEE
    running.check()


def test_what_was_given_back_before_is_not_given_back_again(running: Running) -> None:
    from tests.support.refunding import ask, carry_out, tickets

    booking = confirmed(running)
    carry_out(running, ask(running, booking, tickets=tickets(running, booking)[:1])["id"])
    cancel(running)
    with running.work():
        wait_until(lambda: is_over(running))
    assert given_back(running, booking) == PRICE
    assert progress(running)["amount"] == PRICE // 2
    running.check()


def test_a_payment_that_succeeds_meanwhile_is_given_back(running: Running) -> None:
    """Secured when the event is cancelled: it is captured, confirmed, and then taken back."""
    from tasks import bookings

    booking = running.sale.hold("alice")
    running.pay(booking)
    lease = running.lease()
    bookings.authorise(lease, (bookings.next_step(lease) or pytest.fail("nothing to do"))[1])
    cancel(running)
    with running.work():
        wait_until(lambda: any(t["errors"] for t in running.tasks("cancel_event")))
        running.conn.execute("update outbox set lease_until = now() where actor = 'advance'")
        wait_until(lambda: is_over(running))
    assert given_back(running, booking) == PRICE
    assert running.booking(booking)["state"] == "cancelled"
    running.check()


def test_who_approves_a_payment_too_late_pays_nothing(running: Running) -> None:
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    cancel(running)
    with running.work():
        wait_until(lambda: is_over(running))
    assert running.payment(payment)["state"] == "voided"
    assert running.intents(booking)[0]["held"] == 0
    running.check()


def test_it_goes_batch_by_batch_as_fast_as_the_gateway(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import event_cancellations as task

    for name in ("alice", "bob", "charlie"):
        confirmed(running, name)
    monkeypatch.setattr(task, "BATCH", 2)
    cancel(running)
    lease = running.lease("cancel_event")
    assert task.take_batch(lease)
    assert progress(running)["cancelled"] == 2
    apart = "select max(run_at) - min(run_at) > interval '40 ms' as apart from outbox"
    found = running.conn.execute(apart + " where actor = 'refund'").fetchall()
    assert found == [{"apart": True}]
    running.check()
    assert not task.take_batch(lease), "the gateway has not been asked for the first yet"
    assert progress(running)["cancelled"] == 2
    running.conn.execute("update outbox set lease_until = now() where actor = 'cancel_event'")
    with running.work():
        wait_until(lambda: is_over(running))
    assert progress(running)["succeeded"] == 3
    running.check()
