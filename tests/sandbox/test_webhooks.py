"""Webhooks of the sandbox: signed, retried, doubled, late and out of order."""

from __future__ import annotations

import pytest
import stripe

from ops.sandbox.stripe.process import Sandbox, running_sandbox
from tests.support.sandbox_client import Create, Receiver, client_of, params, register
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes


def test_webhooks_are_signed_events_with_the_key(
    client: stripe.StripeClient, receiver: Receiver
) -> None:
    secret = register(client, receiver, "payment_intent.amount_capturable_updated")
    assert secret.startswith("whsec_")
    intent = client.v1.payment_intents.create(params(), {"idempotency_key": "b1:1"})

    event = receiver.next(secret)

    assert event.type == "payment_intent.amount_capturable_updated"
    assert event.data.object["id"] == intent.id
    assert event.request is not None
    assert event.request.idempotency_key == "b1:1"
    assert event.api_version == stripe.api_version
    client.v1.payment_intents.create(params())
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.next("whsec_other")


def test_events_keep_what_they_saw(client: stripe.StripeClient, create: Create) -> None:
    intent = client.v1.payment_intents.capture(create().id)
    types = [event.type for event in client.v1.events.list().data]
    assert types == [
        "payment_intent.succeeded",
        "charge.captured",
        "payment_intent.amount_capturable_updated",
        "charge.succeeded",
        "payment_intent.created",
    ]
    (event,) = client.v1.events.list({"type": "payment_intent.amount_capturable_updated"}).data
    assert event.data.object["status"] == "requires_capture"
    assert client.v1.events.retrieve(event.id).data.object["id"] == intent.id


def test_a_webhook_is_retried_until_it_is_accepted(
    client: stripe.StripeClient, create: Create, receiver: Receiver, sandbox: Sandbox
) -> None:
    secret = register(client, receiver, "payment_intent.created")
    receiver.answers = [500, 302, 404]
    create()

    ids = {receiver.next(secret).id for _ in range(4)}

    assert len(ids) == 1
    wait_until(lambda: sandbox.calls()["webhooks"]["pending"] == 0)
    assert sandbox.calls()["webhooks"]["failed"] == 3
    assert receiver.got.empty()


def test_a_deleted_endpoint_gets_nothing(
    client: stripe.StripeClient, create: Create, receiver: Receiver, sandbox: Sandbox
) -> None:
    register(client, receiver)
    (endpoint,) = client.v1.webhook_endpoints.list().data
    client.v1.webhook_endpoints.delete(endpoint.id)
    create()
    assert client.v1.webhook_endpoints.list().data == []
    assert sandbox.calls()["webhooks"] == {
        "delivered": 0,
        "failed": 0,
        "abandoned": 0,
        "pending": 0,
    }


def test_webhooks_can_come_twice(
    client: stripe.StripeClient, create: Create, receiver: Receiver, sandbox: Sandbox
) -> None:
    secret = register(client, receiver, "payment_intent.created")
    sandbox.faults(webhook_duplicate_rate=1)
    create()
    assert receiver.next(secret).id == receiver.next(secret).id


def test_webhooks_can_come_in_another_order(
    client: stripe.StripeClient, create: Create, receiver: Receiver, sandbox: Sandbox
) -> None:
    secret = register(client, receiver, "payment_intent.created")
    sandbox.faults(webhook_reorder_rate=0.5, seed=1)
    sent = [create().id for _ in range(8)]
    came = [receiver.next(secret).data.object["id"] for _ in range(8)]
    assert sorted(came) == sorted(sent)
    assert came != sent


def test_webhooks_can_come_late(
    client: stripe.StripeClient, create: Create, receiver: Receiver, sandbox: Sandbox
) -> None:
    secret = register(client, receiver, "payment_intent.created")
    sandbox.faults(webhook_late_rate=0.5, webhook_late_ms=1000, seed=1)
    sent = [create().id for _ in range(8)]
    came = [receiver.next(secret).data.object["id"] for _ in range(8)]
    assert sorted(came) == sorted(sent)
    assert came != sent
    assert 0 < sandbox.calls()["faults"]["webhook_late"] < 8


def test_the_endpoint_of_the_command_line_gets_what_it_is_registered_for(
    receiver: Receiver,
) -> None:
    types = "payment_intent.canceled,payment_intent.succeeded"
    options = {"webhook_url": receiver.url, "webhook_secret": "whsec_shared"}
    with running_sandbox(**options, webhook_events=types) as sandbox:
        intents = client_of(sandbox).v1.payment_intents
        intents.capture(intents.create(params()).id)
        assert receiver.next("whsec_shared").type == "payment_intent.succeeded"
        wait_until(lambda: sandbox.calls()["webhooks"]["pending"] == 0)
        assert sandbox.calls()["webhooks"]["delivered"] == 1


def test_the_endpoint_of_the_command_line(receiver: Receiver) -> None:
    with running_sandbox(webhook_url=receiver.url, webhook_secret="whsec_shared") as sandbox:
        client_of(sandbox).v1.payment_intents.create(params())
        assert receiver.next("whsec_shared").data.object["object"] in ("payment_intent", "charge")
        sandbox.reset()
        client_of(sandbox).v1.payment_intents.create(params(metadata={"booking": "b2"}))
        event = receiver.until("payment_intent.created", "whsec_shared")
        while event.data.object["metadata"]["booking"] != "b2":
            event = receiver.until("payment_intent.created", "whsec_shared")
