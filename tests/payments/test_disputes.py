"""Disputes against the sandbox: tickets on hold while the bank decides, void when it is lost."""

import json
from typing import Any
from uuid import UUID

import pytest

from db.bookings import bookings
from db.connections import Conn, transaction
from db.payments import disputes
from db.runtime.errors import Conflict, NotFound
from tests.support.dashboard import dashboard
from tests.support.notifying import news
from tests.support.paying import DISPUTED, PRICE, confirmed
from tests.support.refunding import ask, cancel, carry_out, is_over, progress, refund, tickets
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale, paid, path_of
from web.api.gateway_notifications import store

__all__ = ["paid"]


def told(running: Running, booking: UUID, dispute: str) -> None:
    """The gateway tells us something about a dispute."""
    ids = {"event_id": running.sale.event, "booking_id": str(booking)}
    ids |= {"payment_id": str(running.booking(booking)["payment_id"]), "dispute_id": dispute}
    running.sale.enqueue("look_at_dispute", "payments", dispute, **ids)


def at_gateway(running: Running, booking: UUID) -> str:
    """The dispute of a booking's payment, as the gateway knows it."""
    payment = running.payment(running.booking(booking)["payment_id"])
    page = dashboard().v1.disputes.list({"payment_intent": str(payment["gateway_ref"])})
    return str(page.data[0].id)


def look(running: Running, booking: UUID, dispute: str, state: str) -> None:
    """We are told, and look, until the booking is in that state."""
    told(running, booking, dispute)
    with running.work():
        wait_until(
            lambda: (
                running.booking(booking)["state"] == state and not running.tasks("look_at_dispute")
            )
        )


def frozen(running: Running) -> tuple[UUID, str]:
    booking = confirmed(running, card=DISPUTED)
    dispute = at_gateway(running, booking)
    look(running, booking, dispute, "frozen")
    return booking, dispute


def shown(running: Running, booking: UUID) -> list[dict[str, Any]]:
    """The tickets as their buyer sees them."""
    buyer = running.booking(booking)["buyer_id"]
    return bookings.list_tickets(running.conn, running.sale.event, booking, buyer)


def test_a_dispute_puts_the_tickets_on_hold(running: Running) -> None:
    booking, dispute = frozen(running)
    for ticket in shown(running, booking):
        assert (ticket["state"], ticket["secret"]) == ("on_hold", None)
        buyer = running.booking(booking)["buyer_id"]
        with pytest.raises(NotFound):
            bookings.get_code(running.conn, running.sale.event, booking, ticket["id"], buyer)
    assert running.seats(booking) == ["sold", "sold"]
    (row,) = disputes.list_disputes(running.conn, None, running.sale.event, None, 10)
    assert (row["id"], row["booking_id"], row["booking_state"]) == (dispute, booking, "frozen")
    assert (row["state"], row["reason"], row["amount"]) == ("needs_response", "fraudulent", PRICE)
    assert row["respond_by"]
    with pytest.raises(Conflict, match="the dispute decides"):
        ask(running, booking)
    running.check()


def test_one_that_is_won_gives_the_tickets_back(running: Running) -> None:
    booking, dispute = frozen(running)
    running.sandbox.close_dispute(dispute, "won")
    look(running, booking, dispute, "confirmed")
    assert {ticket["state"] for ticket in shown(running, booking)} == {"valid"}
    running.check()
    look(running, booking, dispute, "confirmed")
    running.check()


def test_one_that_is_lost_makes_them_void(running: Running) -> None:
    booking, dispute = frozen(running)
    running.sandbox.close_dispute(dispute, "lost")
    look(running, booking, dispute, "cancelled")
    assert running.booking(booking)["reason"] == "dispute_lost"
    assert {ticket["state"] for ticket in shown(running, booking)} == {"void"}
    assert running.seats(booking) == []
    assert running.conn.execute("select seats from buyer_seats").fetchall() == [{"seats": 0}]
    with pytest.raises(Conflict, match="Only 0"):
        ask(running, booking, amount=1)
    running.check()


def test_what_was_owed_is_not_when_the_bank_takes_it(running: Running) -> None:
    """The gateway refused a refund because of a dispute of which we had not heard."""
    booking = confirmed(running, card=DISPUTED)
    dispute = at_gateway(running, booking)
    asked = ask(running, booking)["id"]
    with running.work():
        wait_until(running.dead_letters)
    assert not refund(running, asked)["settlement"]
    running.sandbox.close_dispute(dispute, "lost")
    told(running, booking, dispute)
    with running.work():
        wait_until(lambda: not running.tasks("look_at_dispute"))
    assert dispute in refund(running, asked)["settlement"]
    assert [letter["resolution"] for letter in running.dead_letters()] == [
        "taken by the buyer's bank"
    ]
    running.check()


def test_a_refund_that_fails_after_the_bank_took_it_is_not_owed(running: Running) -> None:
    booking = confirmed(running, card=DISPUTED)
    dispute = at_gateway(running, booking)
    running.sandbox.close_dispute(dispute, "lost")
    asked = ask(running, booking)["id"]
    later = "update outbox set run_at = now() + %s::interval, resend_at = now() + %s::interval"
    running.conn.execute(later, ["1 h", "1 h"])
    look(running, booking, dispute, "cancelled")
    running.conn.execute(later, ["0 s", "0 s"])
    carry_out(running, asked, "failed")
    assert dispute in refund(running, asked)["settlement"]
    assert running.dead_letters() == []
    running.check()


def test_one_of_which_we_hear_only_when_it_is_lost(running: Running) -> None:
    booking = confirmed(running, card=DISPUTED)
    dispute = at_gateway(running, booking)
    running.sandbox.close_dispute(dispute, "lost")
    look(running, booking, dispute, "cancelled")
    running.check()


def test_one_that_comes_before_the_booking_is_confirmed_waits_for_it(running: Running) -> None:
    """The bank is faster than our worker, which was about to write down that it has captured."""
    from tasks import bookings as saga
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    running.pay(booking, DISPUTED)
    lease = running.lease()
    saga.authorise(lease, (saga.next_step(lease) or pytest.fail("nothing to do"))[1])
    _, at = saga.next_step(lease) or pytest.fail("nothing to do")
    stripe_payments.capture(at)
    told(running, booking, at_gateway(running, booking))
    with running.work():
        wait_until(lambda: any(t["errors"] for t in running.tasks("look_at_dispute")))
        running.conn.execute("update outbox set lease_until = now() where actor = 'advance'")
        wait_until(lambda: running.booking(booking)["state"] == "frozen")
        wait_until(lambda: not running.tasks("look_at_dispute") and not running.tasks())
    running.check()


def test_an_inquiry_changes_nothing(running: Running) -> None:
    booking = confirmed(running)
    payment = running.booking(booking)["payment_id"]
    case = disputes.find_case(running.conn, payment)
    inquiry = disputes.Dispute("du_1", "warning_needs_response", "general", PRICE, "EUR", None)
    assert disputes.record_dispute(running.conn, case, inquiry) == "confirmed"
    running.check()


def test_what_was_given_back_in_part_is_lost_in_part(running: Running) -> None:
    booking = confirmed(running)
    carry_out(running, ask(running, booking, tickets=tickets(running, booking)[:1])["id"])
    case = disputes.find_case(running.conn, running.booking(booking)["payment_id"])
    for state, becomes in (("needs_response", "frozen"), ("lost", "cancelled")):
        half = disputes.Dispute("du_1", state, "fraudulent", PRICE // 2 - 1, "EUR", None)
        assert disputes.record_dispute(running.conn, case, half) == becomes
        running.check()
    payment = running.payment(case.payment_id)
    assert payment["kept"] == 1


def test_a_frozen_booking_of_a_cancelled_event_ends_when_it_is_won(running: Running) -> None:
    """Its money is asked back; this gateway will not have it for a charge that was disputed once,
    so it is owed, and a person is called."""
    booking, dispute = frozen(running)
    cancel(running)
    with running.work():
        wait_until(lambda: is_over(running))
    assert running.booking(booking)["state"] == "frozen"
    running.sandbox.close_dispute(dispute, "won")
    told(running, booking, dispute)
    with running.work():
        wait_until(lambda: running.booking(booking)["state"] == "cancelled" and is_over(running))
        wait_until(running.dead_letters)
    assert progress(running)["owed"] == PRICE
    assert "charge_disputed" in running.dead_letters()[0]["reason"]
    running.check()


def mails(running: Running, booking: UUID) -> set[str]:
    query = "select template from emails where booking_id = %s"
    return {row["template"] for row in running.conn.execute(query, [booking])}


def test_the_buyer_is_told_how_it_goes(running: Running) -> None:
    booking, dispute = frozen(running)
    assert mails(running, booking) == {"confirmed", "frozen"}
    running.sandbox.close_dispute(dispute, "won")
    look(running, booking, dispute, "confirmed")
    assert mails(running, booking) == {"confirmed", "frozen", "unfrozen"}
    lost, other = frozen(running)
    running.sandbox.close_dispute(other, "lost")
    look(running, lost, other, "cancelled")
    assert mails(running, lost) == {"confirmed", "frozen", "dispute_lost"}


def suspected(running: Running) -> UUID:
    """A confirmed booking of whose payment the issuer then suspects fraud."""
    booking = confirmed(running)
    payment = running.booking(booking)["payment_id"]
    thing: dict[str, Any] = {"id": f"issfr_{booking}", "fraud_type": "misc", "actionable": True}
    kind = "radar.early_fraud_warning.created"
    payload = {"data": {"object": thing}}
    warned = news(payment, type=kind, payload=json.dumps(payload), object_id=thing["id"])
    assert store(warned) == "news"
    running.check()
    with running.work():
        wait_until(lambda: running.booking(booking)["state"] == "frozen")
        wait_until(lambda: not running.tasks("freeze_for_fraud_warning"))
    running.check()
    return booking


def release(running: Running, booking: UUID) -> str:
    with transaction("key:opera") as conn:
        event = running.sale.event
        answer = disputes.dismiss_fraud_warning(conn, None, event, booking, "called the buyer")
    return str(answer["booking_state"])


def test_a_warning_puts_the_tickets_on_hold_until_they_are_released(running: Running) -> None:
    booking = suspected(running)
    assert {ticket["state"] for ticket in shown(running, booking)} == {"on_hold"}
    assert release(running, booking) == "confirmed"
    assert {ticket["state"] for ticket in shown(running, booking)} == {"valid"}
    assert mails(running, booking) == {"confirmed", "frozen", "unfrozen"}
    with pytest.raises(Conflict, match="not frozen"):
        release(running, booking)
    (warning,) = disputes.list_warnings(running.conn, None, running.sale.event, None, 10)
    assert warning["released_at"]
    running.check()


def test_what_is_suspected_may_be_given_back(running: Running) -> None:
    """Which is what prevents a dispute."""
    booking = suspected(running)
    carry_out(running, ask(running, booking)["id"])
    assert running.booking(booking)["state"] == "cancelled"
    running.check()


def test_a_release_does_not_decide_a_dispute(running: Running) -> None:
    booking = suspected(running)
    case = disputes.find_case(running.conn, running.booking(booking)["payment_id"])
    for state, becomes in (("needs_response", "frozen"), ("won", "frozen")):
        of = disputes.Dispute("du_1", state, "fraudulent", PRICE, "EUR", None)
        assert disputes.record_dispute(running.conn, case, of) == becomes
        running.check()
    again = disputes.Dispute("du_2", "needs_response", "fraudulent", PRICE, "EUR", None)
    disputes.record_dispute(running.conn, case, again)
    assert release(running, booking) == "frozen"
    with pytest.raises(Conflict, match="the dispute decides"):
        release(running, booking)
    running.check()


def test_organisers_release_their_own(
    tosca: Sale, circus: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    path = f"{path_of(tosca, paid)}/release"
    conn.execute(
        "insert into fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind,"
        " actionable) select 'issfr_1', id, event_id, booking_id, 'misc', true from payments"
    )
    conn.execute("select freeze_for_fraud_warning(event_id, id) from payments")
    assert circus.post(path, {"reason": "known"}, key="key").status_code == 404
    for _ in range(2):
        answer = tosca.opera.post(path, {"reason": "known"}, key="key")
        assert (answer.status_code, answer.json) == (201, {"booking_state": "confirmed"})
    assert tosca.opera.post(path, {"reason": "known"}, key="new").status_code == 409


def test_organisers_see_their_own(
    tosca: Sale, circus: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    for id in ("du_1", "du_2"):
        conn.execute(
            "select record_dispute(event_id, id, %s, 'needs_response', 'fraudulent', amount,"
            " currency, null)"
            " from payments",
            [id],
        )
    first = tosca.opera.get(f"{tosca.path}/disputes?limit=1")
    assert [dispute["id"] for dispute in first.json] == ["du_2"]
    assert (first.json[0]["booking_code"], first.json[0]["amount"]) == (paid["code"], 19_000)
    following = first.headers["Link"].split(">")[0].lstrip("<")
    assert [dispute["id"] for dispute in tosca.opera.get(following).json] == ["du_1"]
    assert circus.get(f"{tosca.path}/disputes").status_code == 404


def test_a_buyer_sees_that_tickets_are_on_hold(
    tosca: Sale, alice: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    path = f"{path_of(tosca, paid)}/tickets"
    ticket = alice.get(path).json[0]
    assert alice.get(f"{path}/{ticket['id']}.svg").status_code == 200
    conn.execute(
        "select record_dispute(event_id, id, 'du_1', 'under_review', 'fraudulent', amount,"
        " currency, null)"
        " from payments"
    )
    assert {(t["state"], t["secret"]) for t in alice.get(path).json} == {("on_hold", None)}
    assert alice.get(f"{path}/{ticket['id']}.svg").status_code == 404
