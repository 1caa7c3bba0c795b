"""The sandbox for all tests of this folder: one process, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from ops.sandbox.stripe.process import Sandbox, running_sandbox
from tests.support.sandbox_client import Create, Receiver, client_of, params


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with running_sandbox(webhook_backoff=0.05, settle_after=0.2, refund_after=0.2) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    running.limits(account_rate=0, endpoint_rate=0)
    return running


@pytest.fixture
def client(sandbox: Sandbox) -> stripe.StripeClient:
    return client_of(sandbox)


@pytest.fixture
def create(client: stripe.StripeClient) -> Create:
    def create(method: str = "pm_card_visa", **changes: Any) -> stripe.PaymentIntent:
        return client.v1.payment_intents.create(params(method, **changes))

    return create


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()
