"""Transfers of less, of more, too late, twice: all money is accounted for, and buyers know."""

import threading
from typing import Any
from uuid import UUID

import pytest

from db.connections import one, transaction
from db.maintenance.reports import run_report
from db.payments import offline
from db.runtime.errors import Conflict, InvalidRequest, NotFound
from tests.support.mails import body
from tests.support.offline import choose, event, mail, mark, payment_of
from tests.support.paying import PRICE
from tests.support.running import Running
from tests.support.waiting import wait_until

__all__ = ["event"]


def receive(
    running: Running, booking: UUID, amount: int, reference: str = "1", **given: Any
) -> dict[str, Any]:
    """As the organiser records it."""
    transfer = {"reference": reference, "amount": amount, "currency": "EUR"} | given
    with transaction("organiser:1") as conn:
        return offline.record_transfer(conn, None, running.sale.event, booking, transfer)


def decide(running: Running, transfer: UUID, decision: str) -> dict[str, Any]:
    decided = {"decision": decision, "how": "as agreed on the telephone"}
    with transaction("organiser:1") as conn:
        return offline.decide_surplus(conn, None, running.sale.event, transfer, decided)


def revenue(running: Running) -> dict[str, Any]:
    with transaction() as conn:
        [row] = run_report(conn, "revenue", running.sale.event)[1]
    return row


def test_a_part_is_recorded_and_the_rest_asked_for(running: Running, event: int) -> None:
    booking = choose(running)
    got = receive(running, booking, 4000)
    assert (got["missing"], got["surplus"], got["booking_state"]) == (
        PRICE - 4000, 0, "authorising",
    )  # fmt: skip
    asked = payment_of(running, booking)["next_action"]["pay_offline"]
    assert (asked["amount"], asked["received"]) == (PRICE - 4000, 4000)
    assert revenue(running)["unassigned"] == 4000
    running.check()
    text = body(mail(running, "We received 40.00 EUR for Evening: please pay the rest"))
    assert "65.00 EUR are missing" in text
    assert running.booking(booking)["code"] in text
    with running.work():
        assert receive(running, booking, PRICE - 4000, "2")["missing"] == 0
        running.wait_for(booking, "confirmed")
    assert payment_of(running, booking)["captured"] == PRICE
    assert (revenue(running)["captured"], revenue(running)["unassigned"]) == (PRICE, 0)
    running.check()


def test_each_part_is_told(running: Running, event: int) -> None:
    booking = choose(running)
    receive(running, booking, 1000, "1")
    mail(running, "We received 10.00 EUR for Evening: please pay the rest")
    receive(running, booking, 2000, "2")
    mail(running, "We received 30.00 EUR for Evening: please pay the rest")
    running.check()


def test_what_is_too_much_waits_for_a_decision(running: Running, event: int) -> None:
    booking = choose(running)
    with running.work():
        got = receive(running, booking, PRICE + 500)
        running.wait_for(booking, "confirmed")
    assert (got["surplus"], got["decision"]) == (500, None)
    assert payment_of(running, booking)["captured"] == PRICE
    assert (revenue(running)["captured"], revenue(running)["unassigned"]) == (PRICE, 500)
    assert "5.00 EUR are more than it takes" in body(
        mail(running, "We received 5.00 EUR too much for Evening")
    )
    for _ in range(2):
        assert decide(running, got["id"], "refunded")["decision"] == "refunded"
    with pytest.raises(Conflict, match="decided otherwise"):
        decide(running, got["id"], "kept")
    assert revenue(running)["unassigned"] == 0
    assert "as agreed" in body(mail(running, "5.00 EUR went back to you for Evening"))
    running.check()


def test_a_surplus_may_be_kept(running: Running, event: int) -> None:
    booking = choose(running)
    with running.work():
        got = receive(running, booking, PRICE + 500)
        running.wait_for(booking, "confirmed")
    decide(running, got["id"], "kept")
    assert revenue(running)["unassigned"] == 500
    mail(running, "About 5.00 EUR more than Evening costs")
    running.check()


def test_a_second_transfer_is_all_surplus(running: Running, event: int) -> None:
    booking = choose(running)
    with running.work():
        receive(running, booking, PRICE, "1")
        running.wait_for(booking, "confirmed")
    assert receive(running, booking, PRICE, "2")["surplus"] == PRICE
    assert payment_of(running, booking)["captured"] == PRICE
    running.check()


def test_a_part_of_what_is_never_paid_is_surplus(running: Running, event: int) -> None:
    booking = choose(running)
    first = receive(running, booking, 4000)
    running.pass_deadline(booking)
    with running.work():
        running.wait_for(booking, "expired")
    assert payment_of(running, booking)["state"] == "voided"
    with transaction() as conn:
        wanted = {"undecided": True, "starting_after": None, "limit": 5}
        [left] = offline.list_transfers(conn, None, running.sale.event, wanted)
    assert (left["id"], left["surplus"]) == (first["id"], 4000)
    mail(running, "We received 40.00 EUR too much for Evening")
    late = receive(running, booking, PRICE - 4000, "2")
    assert late["surplus"] == PRICE - 4000
    assert running.booking(booking)["state"] == "expired"
    running.check()
    query = "select erasure_blocks(buyer_id) as why from bookings where id = %s"
    assert "money_owed" in one(running.conn.execute(query, [booking]))["why"]
    for transfer in (first, late):
        decide(running, transfer["id"], "refunded")
    assert "money_owed" not in one(running.conn.execute(query, [booking]))["why"]
    running.check()


def test_the_last_part_may_come_when_the_time_is_just_over(running: Running, event: int) -> None:
    booking = choose(running)
    receive(running, booking, 4000)
    running.pass_deadline(booking)
    assert running.booking(booking)["state"] == "expiring"
    receive(running, booking, PRICE - 4000, "2")
    with running.work():
        running.wait_for(booking, "confirmed")
    running.check()


def test_while_it_is_given_up_no_transfer_is_recorded(running: Running, event: int) -> None:
    """Between the two lines of the saga that give it up and that write it down."""
    from tasks import attempts, bookings

    booking = choose(running)
    receive(running, booking, 4000)
    running.pass_deadline(booking)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    outcome = attempts.stop(progress, spare_authorised=True)
    with pytest.raises(Conflict, match="just being ended"):
        receive(running, booking, 100, "2")
    bookings.settle(lease, progress, outcome)
    assert receive(running, booking, 100, "2")["surplus"] == 100
    running.check()


def test_a_transfer_waits_for_the_payment_to_be_given_up(running: Running, event: int) -> None:
    """The saga gives up while a transfer is recorded: its money is not lost between them."""
    booking = choose(running)
    running.pass_deadline(booking)
    payment = payment_of(running, booking)["id"]
    transfer = {"reference": "1", "amount": 4000, "currency": "EUR"}
    give_up = "select give_up_offline(%s, %s)"
    with transaction("organiser:1") as conn:
        offline.record_transfer(conn, None, running.sale.event, booking, transfer)
        saga = threading.Thread(
            target=lambda: running.conn.execute(give_up, [running.sale.event, payment])
        )
        saga.start()
        saga.join(0.3)
        assert saga.is_alive()
    saga.join()
    surplus = "select surplus from transfers"
    assert one(running.conn.execute(surplus))["surplus"] == 4000
    running.check()


def test_the_same_transfer_again_changes_nothing(running: Running, event: int) -> None:
    booking = choose(running)
    first, again = (receive(running, booking, 4000) for _ in range(2))
    assert first == again
    with pytest.raises(InvalidRequest, match="has this reference"):
        receive(running, booking, 4001)
    other = choose(running, "bob")
    with pytest.raises(InvalidRequest, match="has this reference"):
        receive(running, other, 4000)
    with pytest.raises(InvalidRequest, match="each receipt pays for one booking"):
        mark(running, other, reference="1")


def test_what_is_marked_as_paid_is_a_transfer_too(running: Running, event: int) -> None:
    booking = choose(running)
    with running.work():
        mark(running, booking, reference="7")
        running.wait_for(booking, "confirmed")
    with pytest.raises(InvalidRequest, match="has this reference"):
        receive(running, choose(running, "bob"), 4000, "7")
    running.check()


def test_who_paid_a_part_is_not_marked_as_paid(running: Running, event: int) -> None:
    booking = choose(running)
    receive(running, booking, 4000)
    with pytest.raises(Conflict, match="record the rest as a transfer"):
        mark(running, booking, reference="2")


def test_what_cannot_be_recorded_is_refused(running: Running, event: int) -> None:
    with pytest.raises(NotFound):
        receive(running, UUID(int=1), 4000)
    with pytest.raises(Conflict, match="has not chosen"):
        receive(running, running.sale.hold("carol"), 4000)
    booking = choose(running)
    with pytest.raises(Conflict, match="another currency"):
        receive(running, booking, 4000, currency="USD")
    with pytest.raises(NotFound):
        decide(running, UUID(int=1), "kept")
    taken = receive(running, booking, 4000)
    with pytest.raises(Conflict, match="took all of this transfer"):
        decide(running, taken["id"], "kept")


def test_an_event_with_undecided_money_is_not_archived(running: Running, event: int) -> None:
    booking = choose(running)
    with running.work():
        got = receive(running, booking, PRICE + 500)
        running.wait_for(booking, "confirmed")
        wait_until(lambda: not running.tasks())
    query = "select open_business(%s) as why"
    assert "surplus" in one(running.conn.execute(query, [event]))["why"]
    decide(running, got["id"], "kept")
    assert "surplus" not in (one(running.conn.execute(query, [event]))["why"] or "")
