"""One contract, run against the sandbox and against localstripe, an independent imitation.

What both agree on is not merely the sandbox author's idea of Stripe. Where localstripe is silent
(error codes, idempotency keys), tests/sandbox/test_sandbox.py goes by Stripe's documentation.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import stripe

from ops.local.servers import free_port
from ops.sandbox.stripe.process import running_sandbox
from tests.support.waiting import wait_until

KEY = "sk_test_alice"


@dataclass(frozen=True)
class Gateway:
    """A server that speaks Stripe's API, and its names for what the contract needs."""

    url: str
    declined: str  # a payment method that is refused when it is charged
    authenticating: str  # one that asks for 3-D Secure

    @property
    def client(self) -> stripe.StripeClient:
        return stripe.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=0)


@contextmanager
def sandbox() -> Iterator[Gateway]:
    with running_sandbox() as running:
        yield Gateway(running.url, "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")


@contextmanager
def localstripe() -> Iterator[Gateway]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "localstripe", f"--port={port}", "--from-scratch"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url))
        yield Gateway(url, "pm_card_chargeCustomerFail", localstripe_card(url))
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/v1/events", auth=(KEY, ""), timeout=5).ok
    except requests.ConnectionError:
        return False


def localstripe_card(url: str) -> str:
    """localstripe knows Stripe's 3-D Secure cards by number only."""
    client = stripe.StripeClient(KEY, base_addresses={"api": url})
    card: Any = {"number": "4000002760003184", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    return client.v1.payment_methods.create({"type": "card", "card": card}).id


@pytest.fixture(scope="module", params=[sandbox, localstripe], ids=lambda each: each.__name__)
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with request.param() as gateway:
        yield gateway


@pytest.fixture
def intents(gateway: Gateway) -> Any:
    return gateway.client.v1.payment_intents


def params(method: str = "pm_card_visa", **changes: Any) -> Any:
    return {
        "amount": 5000,
        "currency": "eur",
        "capture_method": "manual",
        "confirm": True,
        "payment_method": method,
        "payment_method_types": ["card"],
        "metadata": {"booking": "b1"},
    } | changes


def test_an_authorisation_waits_for_its_capture(intents: Any) -> None:
    intent = intents.create(params())
    assert (intent.object, intent.status) == ("payment_intent", "requires_capture")
    assert (intent.amount, intent.currency) == (5000, "eur")
    assert intent.metadata.to_dict() == {"booking": "b1"}
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert intent.last_payment_error is None


def test_a_capture_takes_the_money(intents: Any) -> None:
    intent = intents.create(params(expand=["latest_charge"]))
    assert (intent.latest_charge.status, intent.latest_charge.captured) == ("succeeded", False)

    captured = intents.capture(intent.id, {"expand": ["latest_charge"]})

    assert captured.status == "succeeded"
    assert captured.latest_charge.captured
    assert captured.latest_charge.id == intent.latest_charge.id


def test_a_cancelled_authorisation_can_never_be_captured(gateway: Gateway, intents: Any) -> None:
    intent = intents.create(params())
    assert intents.cancel(intent.id).status == "canceled"
    assert intents.retrieve(intent.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.cancel(intent.id)
    assert refused.value.http_status == 400


def test_a_declined_card_is_a_402_and_takes_nothing(gateway: Gateway, intents: Any) -> None:
    with pytest.raises(stripe.CardError) as refused:
        intents.create(params(gateway.declined))
    assert refused.value.http_status == 402
    assert refused.value.code == "card_declined"


def test_3_d_secure_asks_for_an_action(gateway: Gateway, intents: Any) -> None:
    intent = intents.create(params(gateway.authenticating))
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.latest_charge is None
    assert intents.cancel(intent.id).status == "canceled"


def test_an_intent_can_be_confirmed_later(intents: Any) -> None:
    intent = intents.create(params(confirm=False))
    assert intent.status == "requires_confirmation"
    assert intents.confirm(intent.id).status == "requires_capture"


def test_an_intent_can_be_retrieved(intents: Any) -> None:
    intent = intents.create(params())
    found = intents.retrieve(intent.id)
    assert (found.id, found.status, found.amount) == (intent.id, "requires_capture", 5000)
    with pytest.raises(stripe.InvalidRequestError) as missing:
        intents.retrieve("pi_nothing")
    assert missing.value.http_status == 404


def test_a_refund_gives_back_in_part_and_whole(gateway: Gateway, intents: Any) -> None:
    refunds = gateway.client.v1.refunds
    intent = intents.capture(intents.create(params()).id)

    part = refunds.create({"payment_intent": intent.id, "amount": 1500})
    rest = refunds.create({"payment_intent": intent.id, "amount": 3500})

    assert (part.status, part.amount, part.currency) == ("succeeded", 1500, "eur")
    assert (rest.status, rest.amount) == ("succeeded", 3500)
    found = refunds.retrieve(part.id)
    assert (found.charge, found.payment_intent) == (rest.charge, intent.id)
    assert {row.id for row in refunds.list({"payment_intent": intent.id}).data} == {
        part.id,
        rest.id,
    }
