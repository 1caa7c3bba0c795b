"""Reconciliation of refunds and disputes, and the dead letters of what differs."""

from db.payments import reconciliations
from tests.support.notifying import tell
from tests.support.paying import DISPUTED, PRICE, approved, capture, confirmed
from tests.support.reconciling import (
    LOSE_TASKS,
    age,
    dashboard,
    expect_letter,
    expect_nothing,
    found,
    is_done,
    reconcile,
    start,
    totals,
)
from tests.support.refunding import ask, books, carry_out, given_back, refund
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Caller


def test_two_sides_that_agree(running: Running) -> None:
    carry_out(running, ask(running, confirmed(running), amount=1000)["id"])
    intent = dashboard().payment_intents.create({"amount": 777, "currency": "eur"})
    assert intent.id
    run = reconcile(running)
    assert (run["checked"], run["foreign_objects"], run["differences"]) == (3, 1, 0)
    assert totals(run) == [PRICE, PRICE, 1000, 1000]


def test_a_refund_of_the_dashboard_is_adopted(running: Running) -> None:
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    made = dashboard().refunds.create({"payment_intent": payment["gateway_ref"], "amount": 4000})
    run = reconcile(running)
    assert (found(running, run), run["repairs"]) == (["refund_unknown"], 1)
    (row,) = reconciliations.list_differences(running.conn, run["id"], starting_after=0, limit=9)
    assert row["there"]["payment_gateway_id"] == payment["gateway_ref"]  # the API shows it whole
    assert totals(run) == [PRICE, PRICE, 0, 4000]
    (row,) = books(running, booking)["refunds"]
    assert (row["gateway_ref"], row["amount"], row["state"]) == (made.id, 4000, "succeeded")
    assert (row["cause"], row["requested_by"], row["seats"]) == ("dashboard", "gateway", [])
    assert running.booking(booking)["state"] == "confirmed"
    assert running.seats(booking) == ["sold", "sold"]
    assert "40.00 EUR goes back" in str(running.catcher.mails("alice@usher.example")[0]["Subject"])
    expect_nothing(running)


def test_so_it_is_when_we_are_told(running: Running, anybody: Caller) -> None:
    """And not a second time when it is told again, or reconciled."""
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    dashboard().refunds.create({"payment_intent": payment["gateway_ref"]})
    with running.work():
        for _ in range(2):
            tell(anybody)
            wait_until(lambda: not running.tasks("adopt_refund"))
    assert books(running, booking)["refunded"] == PRICE
    expect_nothing(running)


def test_one_that_leaves_no_room_for_ours_waits_for_it(running: Running) -> None:
    """Ours fails at the gateway, for want of money, and a person is called; it is not adopted
    before, since no more may be given back than was taken."""
    booking = confirmed(running)
    payment = running.payment(running.booking(booking)["payment_id"])
    ours = ask(running, booking, amount=PRICE)["id"]
    running.conn.execute(
        "update outbox set run_at = now() + interval '1 day' where actor = 'refund'"
    )
    made = dashboard().refunds.create({"payment_intent": payment["gateway_ref"]})
    ids = {"event_id": running.sale.event, "booking_id": str(booking)}
    ids |= {"payment_id": str(payment["id"]), "gateway_refund_id": made.id}
    running.sale.enqueue("adopt_refund", "payments", made.id, **ids)
    with running.work():
        wait_until(running.dead_letters)
        assert "is adopted automatically" in running.dead_letters()[0]["reason"]
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        wait_until(lambda: refund(running, ours)["state"] == "failed")
        running.conn.execute("update outbox set run_at = now(), resend_at = now()")
        wait_until(lambda: not running.tasks("adopt_refund"))
    states = sorted((r["cause"], r["state"]) for r in books(running, booking)["refunds"])
    assert states == [("asked", "failed"), ("dashboard", "succeeded")]
    assert given_back(running, booking) == PRICE
    running.check()


def test_a_refund_that_is_pending_is_followed_to_its_end(running: Running) -> None:
    booking = confirmed(running, card="pm_card_pendingRefund")
    payment = running.payment(running.booking(booking)["payment_id"])
    made = dashboard().refunds.create({"payment_intent": payment["gateway_ref"], "amount": 500})
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run) and books(running, booking)["refunds"])
        row = books(running, booking)["refunds"][0]
        assert (row["state"], row["gateway_ref"]) == ("pending", made.id)
        running.sandbox.settle_refund(made.id, "succeeded")
        wait_until(lambda: looked_at(running, "refund"))
    expect_nothing(running)


def looked_at(running: Running, actor: str) -> bool:
    """Whether a task has ended. It is due again at once, also if it was just put off."""
    running.conn.execute("update outbox set run_at = now(), resend_at = now()")
    return not running.tasks(actor)


def test_a_refund_whose_failure_we_were_not_told(running: Running) -> None:
    booking = confirmed(running)
    ours = ask(running, booking)["id"]
    carry_out(running, ours)
    running.sandbox.settle_refund(refund(running, ours)["gateway_ref"], "failed")
    run = reconcile(running)
    assert found(running, run) == ["refund_behind"]
    assert refund(running, ours)["state"] == "failed"
    assert books(running, booking)["owed"] == PRICE
    running.check()


def test_a_refund_whose_task_was_lost(running: Running) -> None:
    booking = confirmed(running)
    ours = ask(running, booking)["id"]
    running.conn.execute(LOSE_TASKS)
    assert found(running, reconcile(running)) == ["refund_forgotten"]
    assert refund(running, ours)["state"] == "succeeded"
    assert given_back(running, booking) == PRICE
    expect_nothing(running)


def test_a_refund_that_the_gateway_has_forgotten(running: Running) -> None:
    booking = confirmed(running)
    ours = ask(running, booking, amount=700)["id"]
    carry_out(running, ours)
    was = refund(running, ours)["gateway_ref"]
    running.conn.execute("update refunds set gateway_ref = 're_nowhere'")
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run))
    assert "refund_missing" in found(running, reconciliations.find_run(running.conn, run))
    running.conn.execute(LOSE_TASKS)
    running.conn.execute("delete from emails where refund_id <> %s", [ours])
    running.conn.execute("delete from refunds where id <> %s", [ours])
    running.conn.execute("update refunds set gateway_ref = %s", [was])
    reconcile(running)
    expect_nothing(running)


def test_a_dispute_that_we_were_not_told_of(running: Running) -> None:
    booking = confirmed(running, card=DISPUTED)
    assert found(running, reconcile(running)) == ["dispute_behind"]
    assert running.booking(booking)["state"] == "frozen"
    (row,) = running.conn.execute("select gateway_ref from disputes").fetchall()
    running.sandbox.close_dispute(row["gateway_ref"], "won")
    assert found(running, reconcile(running)) == ["dispute_behind"]
    assert running.booking(booking)["state"] == "confirmed"
    expect_nothing(running)


def test_a_dispute_that_the_gateway_has_forgotten(running: Running) -> None:
    booking = confirmed(running)
    running.sale.dispute(booking)
    age(running)
    expect_letter(running, "dispute_missing")


def test_what_somebody_works_on_is_no_difference(running: Running) -> None:
    """The task that would mend it is there already, or it is too young to tell."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    ids = {"event_id": running.sale.event, "booking_id": str(booking)}
    running.sale.enqueue("advance", "payments", str(booking), **ids)
    running.conn.execute("update outbox set run_at = now() + interval '1 day', resend_at = run_at")
    run = start(running)
    with running.work():
        wait_until(lambda: is_done(running, run))
    assert found(running, reconciliations.find_run(running.conn, run)) == []
    running.conn.execute(LOSE_TASKS)
    assert found(running, reconcile(running)) == ["payment_behind"]


def test_a_repair_that_does_not_help_calls_a_person(running: Running) -> None:
    """A booking that does not know of its payment any more: its task finds nothing to do."""
    booking = running.sale.hold("alice")
    payment = approved(running, booking)
    capture(running, payment)
    forget = "update bookings set state = 'held', payment_id = null where id = %s"
    running.conn.execute(forget, [booking])
    for repairs in (1, 1, 0, 0):
        run = reconcile(running)
        assert (found(running, run), run["repairs"]) == (["payment_behind"], repairs)
    (letter,) = running.dead_letters()
    assert "The repair, advance, was done and did not help" in letter["reason"]
    query = "select action from audit_log where action like 'difference %' order by id"
    actions = [row["action"] for row in running.conn.execute(query)]
    assert actions == ["difference repaired"] * 2 + ["difference reported"]


def test_a_letter_that_was_closed_by_hand_is_not_written_again(running: Running) -> None:
    """Until the difference becomes another."""
    booking = confirmed(running)
    running.sale.dispute(booking)
    reconcile(running)
    running.conn.execute("update dead_letters set resolved_at = now(), resolution = 'we know'")
    assert found(running, reconcile(running)) == ["dispute_missing"]
    assert len(running.dead_letters()) == 1
    running.conn.execute("update disputes set amount = 1")
    reconcile(running)
    assert len(running.dead_letters()) == 2
