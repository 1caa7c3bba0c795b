"""Lists, search and refunds of the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from ops.sandbox.stripe.process import Sandbox
from tests.support.sandbox_client import Create, Receiver, register

pytestmark = pytest.mark.processes


# Lists and search


def test_lists_go_from_the_newest_down(client: stripe.StripeClient, create: Create) -> None:
    ids = [create().id for _ in range(5)]

    first = client.v1.payment_intents.list({"limit": 2})
    second = client.v1.payment_intents.list({"limit": 2, "starting_after": first.data[-1].id})
    third = client.v1.payment_intents.list({"limit": 2, "starting_after": second.data[-1].id})

    assert [row.id for page in (first, second, third) for row in page.data] == ids[::-1]
    assert [first.has_more, second.has_more, third.has_more] == [True, True, False]
    assert [row.id for row in first.auto_paging_iter()] == ids[::-1]
    newer = client.v1.payment_intents.list({"limit": 2, "ending_before": ids[1]})
    assert [row.id for row in newer.data] == [ids[3], ids[2]]


def test_lists_filter_by_creation(client: stripe.StripeClient, create: Create) -> None:
    intent = create()
    intents = client.v1.payment_intents
    assert len(intents.list({"created": {"gte": intent.created}}).data) == 1
    assert len(intents.list({"created": {"gt": intent.created}}).data) == 0
    assert len(intents.list({"created": {"lte": intent.created}}).data) == 1
    assert len(intents.list({"created": {"lt": intent.created}}).data) == 0


def test_search_finds_by_metadata_and_status(client: stripe.StripeClient, create: Create) -> None:
    wanted = create(metadata={"booking": "b7", "attempt": "1"})
    create(metadata={"booking": "b8"})
    cancelled = create(metadata={"booking": "b7", "attempt": "2"})
    client.v1.payment_intents.cancel(cancelled.id)

    def search(query: str) -> list[str]:
        return [row.id for row in client.v1.payment_intents.search({"query": query}).data]

    assert search("metadata['booking']:'b7'") == [cancelled.id, wanted.id]
    assert search("metadata['booking']:'b7' AND status:'requires_capture'") == [wanted.id]
    assert search('metadata["booking"]:"b7" AND metadata["attempt"]:"2"') == [cancelled.id]
    assert search("metadata['booking']:'nobody'") == []
    with pytest.raises(stripe.InvalidRequestError, match="unable to parse"):
        search("metadata:b7")


def test_search_can_lag_behind_as_stripe_s_does(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    create()
    query: Any = {"query": "metadata['booking']:'b1'"}
    assert len(client.v1.payment_intents.search(query).data) == 1
    sandbox.faults(search_lag_ms=60_000)
    assert len(client.v1.payment_intents.search(query).data) == 0
    assert len(client.v1.payment_intents.list().data) == 1


# Refunds


def test_refunds_never_exceed_what_was_captured(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    intent = create(capture_method="automatic")
    part = client.v1.refunds.create({"payment_intent": intent.id, "amount": 2000})
    assert (part.status, part.amount) == ("succeeded", 2000)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 3001})

    rest = client.v1.refunds.create({"charge": str(intent.latest_charge)})

    assert rest.amount == 3000
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"
    listed = client.v1.refunds.list({"payment_intent": intent.id})
    assert [row.id for row in listed.data] == [rest.id, part.id]
    assert client.v1.refunds.retrieve(part.id).amount == 2000
    euros = sandbox.ledger()["currencies"]["eur"]
    assert (euros["captured"], euros["refunded"], euros["net"]) == (5000, 5000, 0)


def test_an_uncaptured_payment_cannot_be_refunded(
    client: stripe.StripeClient, create: Create
) -> None:
    intent = create()
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"payment_intent": intent.id})


def test_a_pending_refund_succeeds_later(
    client: stripe.StripeClient, create: Create, receiver: Receiver
) -> None:
    secret = register(client, receiver, "refund.updated")
    intent = create("pm_card_pendingRefund", capture_method="automatic")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "pending"
    assert receiver.next(secret).data.object["status"] == "succeeded"


def test_a_refund_fails_after_it_succeeded(
    client: stripe.StripeClient, create: Create, receiver: Receiver, sandbox: Sandbox
) -> None:
    secret = register(client, receiver, "refund.failed")
    intent = create("pm_card_refundFail", capture_method="automatic")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"

    failed = receiver.next(secret).data.object

    assert (failed["id"], failed["status"]) == (refund.id, "failed")
    assert failed["failure_reason"]
    assert sandbox.ledger()["currencies"]["eur"]["net"] == 5000
    again = client.v1.refunds.create({"payment_intent": intent.id})
    assert again.amount == 5000
