"""An event gets another date or place: each buyer is told once, and keeps the booking or gives it
back until a date, with all of the money."""

from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from db.connections import one, transaction
from db.payments import offline
from db.runtime.errors import Conflict, InvalidRequest
from tests.support.mails import parts
from tests.support.paying import PRICE, THREE_DS, confirmed, waits_for_buyer, with_fee
from tests.support.postponing import all_told, counts, days, give_back, mails_written, postpone
from tests.support.refunding import ask, cancel, given_back, is_over, is_returned, tickets
from tests.support.running import Running
from tests.support.theatre import BALCONY, another
from tests.support.waiting import in_thread, wait_until

pytestmark = pytest.mark.faults("what is missing")


def told(running: Running, name: str) -> list[EmailMessage]:
    mails = running.catcher.mails(f"{name}@usher.example")
    return [mail for mail in mails if str(mail["Subject"]).startswith("Evening: another")]


def refused(running: Running, booking: UUID) -> str:
    with pytest.raises(Conflict) as error:
        give_back(running, booking)
    return str(error.value.details["conflict_reason"])


def date_of(moment: datetime) -> str:
    """The date where the event takes place, which near midnight is another one than in UTC."""
    return f"{moment.astimezone(ZoneInfo('Europe/Berlin')):%-d %B %Y}"


def test_each_buyer_is_told_once_and_may_keep_or_give_back(running: Running) -> None:
    paid, other = confirmed(running, "alice"), confirmed(running, "bob")
    free = running.sale.hold("charlie", category=BALCONY)
    before = one(running.conn.execute("select starts_at from events"))["starts_at"]
    done = postpone(running, starts_at=before + timedelta(days=7))
    assert (done["id"], done["old_starts_at"], done["replaced"]) == (1, before, False)
    assert done["new_starts_at"] == before + timedelta(days=7)
    all_told(running)
    assert counts(running) == (3, 3, 0)
    for name in ("alice", "bob", "charlie"):
        (mail,) = told(running, name)
        assert mail["Subject"] == "Evening: another date"
    for text in parts(told(running, "alice")[0]):
        assert "the tenor is ill" in text
        for moment in (before, before + timedelta(days=7)):
            assert date_of(moment) in text
        assert f"bookings/{paid}/give-back" in text
        assert "all of your money" in text
    assert "money" not in parts(told(running, "charlie")[0])[0]
    give_back(running, paid)
    give_back(running, free)
    with running.work():
        wait_until(lambda: is_returned(running, paid))
    assert counts(running) == (3, 1, 2)
    for booking in (paid, free):
        row = running.booking(booking)
        assert (row["state"], row["reason"], running.seats(booking)) == (
            "cancelled", "given_back", [])  # fmt: skip
    assert running.booking(other)["state"] == "confirmed"
    assert running.dead_letters() == []
    running.check()


def test_all_fees_come_back_and_the_seats_are_sold_again(running: Running) -> None:
    booking = confirmed(with_fee(running))
    taken = "select seat from seats where booking_id = %s"
    seats = [row["seat"] for row in running.conn.execute(taken, [booking])]
    postpone(running)
    give_back(running, booking)
    total = running.booking(booking)["total"]
    with running.work():
        wait_until(lambda: is_returned(running, booking, total))
    free = "select count(*) as n from seats where state = 'free' and seat = any (%s)"
    assert one(running.conn.execute(free, [seats]))["n"] == 2
    query = "select cause, requested_by from refunds"
    buyer = running.booking(booking)["buyer_id"]
    assert one(running.conn.execute(query)) == {
        "cause": "given_back", "requested_by": f"buyer:{buyer}"}  # fmt: skip
    running.check()


def test_giving_back_twice_gives_the_money_back_once(running: Running) -> None:
    booking = confirmed(running)
    postpone(running)
    give_back(running, booking)
    give_back(running, booking)
    with running.work():
        wait_until(lambda: is_returned(running, booking))
    give_back(running, booking)
    assert given_back(running, booking) == PRICE
    running.check()


def test_two_who_give_it_back_at_once(running: Running) -> None:
    booking = confirmed(running)
    postpone(running)
    with another(running.conn) as other:
        query = "select give_back(event_id, id, buyer_id) from bookings where id = %s"
        other.execute(query, [booking])
        with in_thread(lambda: give_back(running, booking)):
            wait_until(running.somebody_waits)
            other.commit()
    with running.work():
        wait_until(lambda: is_returned(running, booking))
    running.check()


def test_what_was_refunded_before_does_not_come_back_again(running: Running) -> None:
    booking = confirmed(running)
    ask(running, booking, tickets=tickets(running, booking)[:1])
    postpone(running)
    give_back(running, booking)
    with running.work():
        wait_until(lambda: given_back(running, booking) == PRICE)
    running.check()


def test_money_that_was_paid_offline(running: Running) -> None:
    running.conn.execute(
        "update events set offline_seconds = 3600,"
        " offline_account_id = offline_account(organisation_id)"
    )
    booking = running.sale.hold("alice")
    running.pay(booking, None, "offline")
    with transaction("organiser:1") as conn, running.work():
        receipt = {"reference": "7", "amount": PRICE, "currency": "EUR"}
        offline.record_payment(conn, None, running.sale.event, booking, receipt)
        conn.commit()
        running.wait_for(booking, "confirmed")
    postpone(running)
    give_back(running, booking)
    (refund,) = running.conn.execute("select * from refunds").fetchall()
    assert (refund["amount"], refund["state"]) == (PRICE, "pending")
    with running.work():
        with transaction("organiser:1") as conn:
            event = running.sale.event
            offline.record_refund(conn, None, event, booking, refund["id"], "in cash")
        state = "select state from refunds"
        wait_until(lambda: one(running.conn.execute(state))["state"] == "succeeded")
    running.check()


def test_until_the_very_deadline_and_not_after_it(running: Running) -> None:
    """The database's clock decides, when it has the booking, not when the request came."""
    booking, other = confirmed(running, "alice"), confirmed(running, "bob")
    postpone(running)
    at_the_end = "update postponements set give_back_until = clock_timestamp() + interval '50 ms'"
    running.conn.execute(at_the_end)
    give_back(running, booking)
    with another(running.conn) as slow:
        slow.execute("select from bookings where id = %s for update", [other])
        running.conn.execute(at_the_end)
        with in_thread(lambda: refused(running, other)) as answer:
            wait_until(running.somebody_waits)
            passed = "select give_back_until < clock_timestamp() as is_over from postponements"
            wait_until(lambda: one(running.conn.execute(passed))["is_over"])
            slow.commit()
    assert answer.result() == "too_late"
    assert running.booking(other)["state"] == "confirmed"
    running.check()


def test_who_booked_the_new_date_cannot_give_back(running: Running) -> None:
    before = running.sale.hold("alice", category=BALCONY)
    assert refused(running, before) == "not_postponed"
    postpone(running)
    after = running.sale.hold("bob", category=BALCONY)
    all_told(running)
    assert refused(running, after) == "not_postponed"
    assert told(running, "bob") == []
    give_back(running, before)


def test_a_booking_that_is_made_meanwhile_is_of_the_old_date(running: Running) -> None:
    """The drain has read the old date; the postponement waits for it."""
    running.sale.join("alice", 2, BALCONY)
    with another(running.conn) as drain:
        drain.execute("select drain_lane(next_lane(), 100)")
        with in_thread(lambda: postpone(running)):
            wait_until(running.somebody_waits)
            drain.commit()
    all_told(running)
    assert len(told(running, "alice")) == 1
    assert counts(running) == (1, 1, 0)


def test_holds_and_payments_go_on_and_are_told_when_they_are_paid(running: Running) -> None:
    held, paying = running.sale.hold("alice"), running.sale.hold("bob")
    with running.work():
        payment = running.pay(paying, THREE_DS)
        wait_until(lambda: waits_for_buyer(running, payment))
    postpone(running)
    all_told(running)
    assert told(running, "alice") + told(running, "bob") == []
    gateway_ref = str(running.payment(payment)["gateway_ref"])
    running.sandbox.authenticate(gateway_ref, "approve")
    with running.work():
        running.notify(payment, "authorised")
        running.pay(held)
        for booking in (held, paying):
            running.wait_for(booking, "confirmed")
    all_told(running)
    for name in ("alice", "bob"):
        assert len(told(running, name)) == 1
    give_back(running, held)
    running.check()


@pytest.mark.parametrize("first", ["the page", "the confirmation"])
def test_a_booking_that_is_confirmed_while_its_page_is_written_is_told_once(
    running: Running, first: str
) -> None:
    booking = running.sale.hold("alice")
    running.sale.secure(booking)
    running.sale.record(booking, "captured", PRICE)
    confirm = """
        select confirm_bookings(event_id, array[id], array[payment_id])
        from bookings where id = %s"""
    page = "select tell_of_postponement(%s, 100)"
    event = running.sale.event
    if first == "the confirmation":  # it has looked for postponements, and found none
        with another(running.conn) as slow:
            slow.execute(confirm, [booking])
            postpone(running)
            with in_thread(lambda: running.conn.execute(page, [event])):
                wait_until(lambda: is_blocked_by(running, slow))
                slow.commit()
    else:
        postpone(running)
        with another(running.conn) as slow:
            slow.execute(page, [event])
            with (
                another(running.conn) as other,
                in_thread(lambda: other.execute(confirm, [booking])),
            ):
                wait_until(lambda: running.somebody_waits())
                slow.commit()
    assert mails_written(running.conn, booking) == [(1, "pending")]


def is_blocked_by(running: Running, conn: Any) -> bool:
    query = "select from pg_locks where not granted and %s = any (pg_blocking_pids(pid))"
    with another(running.conn) as other:
        return other.execute(query, [conn.info.backend_pid]).fetchone() is not None


def test_another_postponement_replaces_the_first(running: Running) -> None:
    """Mails of the first that were not sent are not sent; those of the second say what the event
    was when the buyer booked."""
    early = confirmed(running, "alice")
    before = one(running.conn.execute("select starts_at from events"))["starts_at"]
    postpone(running, starts_at=before + timedelta(days=7))
    running.conn.execute("select tell_of_postponement(%s, 100)", [running.sale.event])
    late = running.sale.hold("bob", category=BALCONY)
    done = postpone(running, starts_at=before + timedelta(days=14), give_back_until=days(20))
    assert done["id"] == 2
    all_told(running)
    assert mails_written(running.conn, early) == [(1, "skipped"), (2, "sent")]
    assert mails_written(running.conn, late) == [(2, "sent")]
    (mail,) = told(running, "alice")
    text = parts(mail)[0]
    assert date_of(before) in text and date_of(before + timedelta(days=14)) in text
    assert date_of(before + timedelta(days=7)) not in text
    assert date_of(before + timedelta(days=7)) in parts(told(running, "bob")[0])[0]
    give_back(running, late)
    assert counts(running) == (2, 1, 1)


def test_a_second_one_while_the_first_is_being_told(running: Running) -> None:
    for name in ("alice", "bob", "charlie"):
        running.sale.hold(name, category=BALCONY)
    postpone(running)
    running.conn.execute("select tell_of_postponement(%s, 1)", [running.sale.event])
    postpone(running, starts_at=days(50))
    all_told(running)
    query = "select postponement, state, count(*) as n from emails where template = 'postponed'"
    rows = running.conn.execute(query + " group by 1, 2 order by 1, 2").fetchall()
    assert [(row["postponement"], row["state"], row["n"]) for row in rows] == [
        (1, "skipped", 1), (2, "sent", 3)]  # fmt: skip


def test_a_worker_that_dies_between_two_pages_tells_all_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import postponements as task

    bookings = [running.sale.hold(f"buyer{n}", 1, BALCONY) for n in range(5)]
    monkeypatch.setattr(task, "PAGE", 2)
    postpone(running)
    lease = running.lease("tell_of_postponement")
    task.write_page(lease)
    assert counts(running)[0] == 2
    running.conn.execute("update outbox set lease_until = now() where lease_until is not null")
    all_told(running)
    for booking in bookings:
        assert mails_written(running.conn, booking) == [(1, "sent")]
    assert counts(running) == (5, 5, 0)
    (row,) = running.conn.execute("select finished_at from postponements").fetchall()
    assert row["finished_at"]


def test_who_gives_back_before_the_mail_goes_gets_none(running: Running) -> None:
    booking = running.sale.hold("alice", category=BALCONY)
    postpone(running)
    running.conn.execute("select tell_of_postponement(%s, 100)", [running.sale.event])
    give_back(running, booking)
    all_told(running)
    assert mails_written(running.conn, booking) == [(1, "skipped")]


def test_of_a_cancelled_event_nothing_is_given_back_twice(running: Running) -> None:
    booking = confirmed(running)
    postpone(running)
    cancel(running)
    assert refused(running, booking) == "event_cancelled"
    with running.work():
        wait_until(lambda: is_over(running))
    assert given_back(running, booking) == PRICE
    assert refused(running, booking) == "not_confirmed"
    with pytest.raises(Conflict, match="cancelled"):
        postpone(running)
    running.check()


def test_a_disputed_booking_is_the_banks(running: Running) -> None:
    booking = confirmed(running)
    postpone(running)
    running.sale.dispute(booking)
    assert refused(running, booking) == "disputed"


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"starts_at": days(-1)}, "give_back_until"),
        ({"starts_at": days(9)}, "give_back_until"),
        ({"give_back_until": days(-1)}, "give_back_until"),
        ({"venue_id": 999}, "venue_id"),
        ({"starts_at": None, "time_zone": "Europe/Berlin"}, "starts_at"),
        ({"starts_at": days(-400), "give_back_until": days(-401)}, "give_back_until"),
    ],
)
def test_what_makes_no_sense_is_refused(
    running: Running, asked: dict[str, datetime | None], path: str
) -> None:
    before = one(running.conn.execute("select * from events"))
    with pytest.raises(InvalidRequest) as error:
        postpone(running, **asked)
    assert error.value.details["path"] == path
    assert one(running.conn.execute("select * from events")) == before
    assert running.tasks("tell_of_postponement") == []


def test_the_sale_still_begins_before_the_event(running: Running) -> None:
    running.conn.execute("update events set on_sale_at = now() + interval '5 days'")
    with pytest.raises(InvalidRequest) as error:
        postpone(running, starts_at=days(4), give_back_until=days(3))
    assert error.value.details["reason"] == "sale_after_start"
    postpone(running, starts_at=days(6), give_back_until=days(3))


def test_the_ticket_of_a_later_buyer_has_the_new_date_alone(running: Running) -> None:
    postpone(running, starts_at=days(40))
    confirmed(running, "alice")
    with running.work():
        wait_until(lambda: running.catcher.mails("alice@usher.example"))
    (mail,) = running.catcher.mails("alice@usher.example")
    assert mail["Subject"] == "Your tickets for Evening"
    assert date_of(days(40)).partition(" ")[2] in parts(mail)[0]
