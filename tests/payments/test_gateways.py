"""What the saga and refunds may rely on, whatever the gateway: one list of cases for all adapters.

A case names the gateways that it leaves out, and why.
"""

import pytest

from db.payments import disputes
from tasks.durable.leases import TryLater
from tasks.gateways.errors import NothingHappened, Refused, UnknownOutcome
from tests.support.gateways import AUTHENTICATING, DECLINED, DISPUTED, Offline, Subject, case

NOT_RESERVED = "money cannot be reserved, nor is anything sent"
NO_CODES = "its errors have no codes, which tell that it was too late"
NO_KEYS = "it knows no idempotency keys"


# To authorise


@case(offline=NOT_RESERVED)
def test_an_authorisation_reserves_the_whole_sum_and_takes_nothing(gateway: Subject) -> None:
    progress = gateway.begin()
    outcome = gateway.adapter.authorise(progress)
    assert (outcome.state, outcome.captured) == ("authorised", 0)
    assert (outcome.amount, outcome.currency) == (progress.amount, progress.currency)
    assert gateway.taken(progress) == 0
    progress = gateway.record(progress, outcome)
    assert gateway.adapter.look(progress).state == "authorised"


@case(offline=NOT_RESERVED, localstripe=NO_KEYS)
def test_authorising_again_under_the_same_key_happens_once(gateway: Subject) -> None:
    progress = gateway.begin()
    outcomes = [gateway.adapter.authorise(progress) for _ in range(3)]
    assert len({outcome.gateway_ref for outcome in outcomes}) == 1
    assert len(gateway.attempts(progress)) == 1


@case(offline=NOT_RESERVED, localstripe="it loses no answers")
def test_an_authorisation_whose_answer_was_lost_happened_once(gateway: Subject) -> None:
    progress = gateway.begin()
    lost = {"call": "POST /v1/payment_intents", "kind": "drop_after"}
    gateway.running.sandbox.faults(next=[lost])
    with pytest.raises(UnknownOutcome):
        gateway.adapter.authorise(progress)
    assert gateway.adapter.authorise(progress).state == "authorised"
    assert len(gateway.attempts(progress)) == 1


@case(offline=NOT_RESERVED)
def test_a_card_that_is_declined_is_an_outcome(gateway: Subject) -> None:
    progress = gateway.begin(DECLINED)
    outcome = gateway.adapter.authorise(progress)
    assert (outcome.state, outcome.captured) == ("failed", 0)
    assert outcome.failure_code and outcome.failure_message
    assert gateway.taken(progress) == 0


@case(offline=NOT_RESERVED)
def test_what_no_gateway_would_do_is_refused(gateway: Subject) -> None:
    progress = gateway.begin()
    progress.params["payment_method"] = "pm_unheard_of"
    with pytest.raises(Refused):
        gateway.adapter.authorise(progress)
    assert gateway.taken(progress) == 0


@case()
def test_a_payment_may_wait_for_its_buyer(gateway: Subject) -> None:
    progress = gateway.begin(AUTHENTICATING)
    outcome = gateway.adapter.authorise(progress)
    assert (outcome.state, outcome.captured) == ("requires_action", 0)
    assert gateway.adapter.cancel(progress, outcome.gateway_ref).state == "voided"
    assert gateway.taken(progress) == 0


@case(offline="a payment is there from the first moment on", localstripe="it has no lists by time")
def test_a_gateway_tells_when_nothing_happened(gateway: Subject) -> None:
    """Not at once: a request that was sent may still arrive."""
    progress = gateway.begin()
    with pytest.raises(TryLater, match="on its way"):
        gateway.adapter.look(progress)
    gateway.running.conn.execute("update payments set updated_at = now() - interval '2 min'")
    with pytest.raises(NothingHappened):
        gateway.adapter.look(gateway.read(progress.booking_id))


@case(offline=NOT_RESERVED, localstripe="it has no lists by time")
def test_under_a_key_that_is_too_old_a_payment_is_found_and_not_sent(gateway: Subject) -> None:
    progress = gateway.begin()
    made = gateway.adapter.authorise(progress)
    gateway.running.conn.execute("update payments set first_sent_at = now() - interval '21 h'")
    progress = gateway.read(progress.booking_id)
    assert gateway.adapter.authorise(progress).gateway_ref == made.gateway_ref
    assert len(gateway.attempts(progress)) == 1


# To capture


@case()
def test_a_capture_takes_the_whole_sum(gateway: Subject) -> None:
    progress = gateway.pay()
    outcome = gateway.adapter.capture(progress)
    assert (outcome.state, outcome.captured) == ("captured", progress.amount)
    assert (outcome.amount, outcome.currency) == (progress.amount, progress.currency)
    assert gateway.taken(progress) == progress.amount
    assert gateway.adapter.look(progress).state == "captured"


@case(localstripe=NO_CODES)
def test_capturing_again_takes_nothing_more(gateway: Subject) -> None:
    progress = gateway.pay()
    assert [gateway.adapter.capture(progress).captured for _ in range(2)] == [progress.amount] * 2
    assert gateway.taken(progress) == progress.amount


@case(offline=NOT_RESERVED, localstripe="its authorisations do not lapse")
def test_an_authorisation_that_has_lapsed_cannot_be_captured(gateway: Subject) -> None:
    progress = gateway.pay()
    gateway.running.sandbox.lapse(str(progress.gateway_ref))
    assert gateway.adapter.capture(progress).state == "voided"
    assert gateway.taken(progress) == 0


# To cancel


@case()
def test_a_cancelled_payment_is_void(gateway: Subject) -> None:
    progress = gateway.begin()
    made = gateway.adapter.authorise(progress)
    assert gateway.adapter.cancel(progress, made.gateway_ref).state == "voided"
    progress = gateway.record(progress, made) if made.state == "authorised" else progress
    assert gateway.adapter.look(progress).state == "voided"
    assert gateway.taken(progress) == 0


@case(localstripe=NO_CODES)
def test_a_cancelled_payment_can_be_cancelled_and_captured_in_vain(gateway: Subject) -> None:
    progress = gateway.begin()
    made = gateway.adapter.authorise(progress)
    if made.state == "authorised":
        progress = gateway.record(progress, made)
    assert [gateway.adapter.cancel(progress, made.gateway_ref).state for _ in range(2)] == [
        "voided",
        "voided",
    ]
    assert gateway.adapter.capture(progress).state == "voided"
    assert gateway.taken(progress) == 0


@case(localstripe=NO_CODES)
def test_what_was_captured_is_told_instead_of_cancelled(gateway: Subject) -> None:
    progress = gateway.captured()
    outcome = gateway.adapter.cancel(progress, str(progress.gateway_ref))
    assert (outcome.state, outcome.captured) == ("captured", progress.amount)


@case(stripe="what is cancelled cannot be paid", localstripe="what is cancelled cannot be paid")
def test_money_that_comes_late_is_told(gateway: Offline) -> None:
    progress = gateway.begin()
    voided = gateway.adapter.cancel(progress, str(progress.gateway_ref))
    progress = gateway.record(progress, voided)
    gateway.receive(progress)
    outcome = gateway.adapter.look(progress)
    assert (outcome.state, outcome.captured) == ("captured", progress.amount)


# To refund


@case()
def test_a_refund_gives_back_the_whole_sum(gateway: Subject) -> None:
    progress = gateway.captured()
    refund = gateway.ask_for_refund(progress, progress.amount)
    gateway.carry_out(refund)
    outcome = gateway.adapter.refund(refund)
    assert outcome.state == "succeeded" and outcome.gateway_ref
    assert (outcome.amount, outcome.currency) == (progress.amount, progress.currency)
    assert gateway.refunded(progress) == progress.amount


@case()
def test_refunds_give_back_in_parts(gateway: Subject) -> None:
    progress = gateway.captured()
    for amount in (1500, progress.amount - 1500):
        refund = gateway.ask_for_refund(progress, amount)
        gateway.carry_out(refund)
        outcome = gateway.adapter.refund(refund)
        assert (outcome.state, outcome.amount) == ("succeeded", amount)
    assert gateway.refunded(progress) == progress.amount


@case(localstripe=NO_KEYS)
def test_refunding_again_under_the_same_key_happens_once(gateway: Subject) -> None:
    progress = gateway.captured()
    refund = gateway.ask_for_refund(progress, 1500)
    gateway.carry_out(refund)
    assert len({gateway.adapter.refund(refund).gateway_ref for _ in range(3)}) == 1
    assert gateway.refunded(progress) == 1500


@case(stripe="it refunds at once", localstripe="it refunds at once")
def test_a_refund_is_pending_until_it_is_carried_out(gateway: Subject) -> None:
    refund = gateway.ask_for_refund(gateway.captured(), 1500)
    assert gateway.adapter.refund(refund).state == "pending"
    gateway.carry_out(refund)
    assert gateway.adapter.refund(refund).state == "succeeded"


@case(
    offline="the tables hold no refund of more than was captured",
    localstripe="it gives back more than it took",
)
def test_a_refund_of_more_than_is_left_has_failed(gateway: Subject) -> None:
    progress = gateway.captured()
    refund = gateway.ask_for_refund(progress, 1500)
    refund.params["amount"] = progress.amount + 1
    outcome = gateway.adapter.refund(refund)
    assert outcome.state == "failed" and outcome.failure_code
    assert gateway.refunded(progress) == 0


# What happened past Usher


@case(offline="it has no dashboard")
def test_a_refund_of_the_dashboard_can_be_looked_at(gateway: Subject) -> None:
    progress = gateway.captured()
    made = gateway.client.v1.refunds.create({"payment_intent": str(progress.gateway_ref)})
    subject = disputes.find_case(gateway.running.conn, str(progress.payment_id))
    outcome = gateway.adapter.look_at_refund(subject, made.id)
    assert (outcome.state, outcome.gateway_ref) == ("succeeded", made.id)
    assert (outcome.amount, outcome.currency) == (progress.amount, progress.currency)


@case(stripe="it has a dashboard, and disputes", localstripe="it has a dashboard")
def test_offline_has_neither_dashboard_nor_disputes(gateway: Subject) -> None:
    progress = gateway.captured()
    subject = disputes.find_case(gateway.running.conn, str(progress.payment_id))
    with pytest.raises(Refused):
        gateway.adapter.look_at_refund(subject, "re_1")
    with pytest.raises(Refused):
        gateway.adapter.look_at_dispute(subject, "dp_1")


@case(offline="it has no disputes", localstripe="it has no disputes")
def test_a_dispute_can_be_looked_at(gateway: Subject) -> None:
    progress = gateway.captured(DISPUTED)
    page = gateway.client.v1.disputes.list({"payment_intent": str(progress.gateway_ref)})
    subject = disputes.find_case(gateway.running.conn, str(progress.payment_id))
    dispute = gateway.adapter.look_at_dispute(subject, page.data[0].id)
    assert dispute.state == "needs_response"
    assert (dispute.amount, dispute.currency) == (progress.amount, progress.currency)
