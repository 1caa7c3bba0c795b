"""Idempotency keys, limits and faults of the sandbox."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe

from ops.sandbox.stripe.process import Sandbox
from tests.support.sandbox_client import CREATE, Create, params

pytestmark = pytest.mark.processes


def code_of(error: stripe.StripeError) -> str | None:
    """`error.code` stays empty for some classes (429, 409, 5xx); the error object has it."""
    return None if error.error is None else error.error.code


# Idempotency keys


def test_the_same_key_gets_the_same_answer(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    options: Any = {"idempotency_key": "b1:1"}
    first = client.v1.payment_intents.create(params(), options)
    client.v1.payment_intents.capture(first.id)

    second = client.v1.payment_intents.create(params(), options)

    assert (second.id, second.status) == (first.id, "requires_capture")
    assert first.last_response is not None
    assert second.last_response is not None
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert sandbox.ledger()["bookings"]["b1"]["charges"] == 1


def test_a_key_with_other_parameters_is_refused(client: stripe.StripeClient) -> None:
    intent = client.v1.payment_intents.create(params(), {"idempotency_key": "b1:1"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        client.v1.payment_intents.create(params(amount=6000), {"idempotency_key": "b1:1"})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.payment_intents.capture(intent.id, options={"idempotency_key": "b1:1"})


def test_a_key_in_flight_is_a_conflict(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    sandbox.faults(latency_ms=400)

    def create(_: int) -> int:
        try:
            client.v1.payment_intents.create(params(), {"idempotency_key": "b1:1"})
        except stripe.StripeError as error:
            assert code_of(error) == "idempotency_key_in_use"
            return error.http_status or 0
        return 200

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(create, range(3))) == [200, 409, 409]
    assert len(sandbox.ledger()["intents"]) == 1


def test_a_decline_stays_with_its_key(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refused:
            client.v1.payment_intents.create(
                params("pm_card_visa_chargeDeclined"), {"idempotency_key": "b1:1"}
            )
    assert refused.value.headers is not None
    assert refused.value.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.ledger()["intents"]) == 1


def test_wrong_parameters_and_limits_do_not_use_up_a_key(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    options: Any = {"idempotency_key": "b1:1"}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create(params(amount=1), options)
    sandbox.faults(next=[{"call": CREATE, "kind": "lock_timeout"}])
    with pytest.raises(stripe.RateLimitError) as locked:
        client.v1.payment_intents.create(params(), options)
    assert code_of(locked.value) == "lock_timeout"
    assert client.v1.payment_intents.create(params(), options).status == "requires_capture"


@pytest.mark.parametrize(("kind", "intents"), [("fail_before", 0), ("fail_after", 1)])
def test_a_500_stays_with_its_key(
    client: stripe.StripeClient, sandbox: Sandbox, kind: str, intents: int
) -> None:
    sandbox.faults(next=[{"call": CREATE, "kind": kind}])
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            client.v1.payment_intents.create(params(), {"idempotency_key": "b1:1"})
        assert failed.value.http_status == 500
    assert failed.value.headers is not None
    assert failed.value.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.ledger()["intents"]) == intents


# Limits and faults


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ({"account_rate": 0.001, "endpoint_rate": 0}, "global-rate"),
        ({"account_rate": 0, "endpoint_rate": 0.001}, "endpoint-rate"),
    ],
)
def test_requests_over_the_rate_get_429(
    create: Create,
    client: stripe.StripeClient,
    sandbox: Sandbox,
    rates: dict[str, float],
    reason: str,
) -> None:
    sandbox.limits(**rates)
    create()
    with pytest.raises(stripe.RateLimitError) as limited:
        create()
    assert code_of(limited.value) == "rate_limit"
    assert limited.value.headers is not None
    assert limited.value.headers["Stripe-Rate-Limited-Reason"] == reason
    if reason == "endpoint-rate":
        client.v1.payment_intents.list()
    sandbox.limits(account_rate=0, endpoint_rate=0)
    create()
    assert sandbox.calls()["counts"][CREATE] == {"200": 2, "429": 1}


def test_a_dropped_reply_hides_work_that_was_done(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.faults(next=[{"call": CREATE, "kind": "drop_after"}])
    options: Any = {"idempotency_key": "b1:1"}
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(params(), options)
    assert sandbox.ledger()["bookings"]["b1"]["charges"] == 1

    assert client.v1.payment_intents.create(params(), options).status == "requires_capture"

    assert sandbox.ledger()["bookings"]["b1"]["charges"] == 1
    assert sandbox.calls()["counts"][CREATE] == {"dropped": 1, "200": 1}
    assert sandbox.calls()["faults"] == {"drop_after": 1}


def test_a_connection_that_breaks_before_the_work(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.faults(next=[{"call": CREATE, "kind": "drop_before"}])
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(params())
    assert sandbox.ledger()["intents"] == []


def test_the_same_seed_brings_the_same_faults(create: Create, sandbox: Sandbox) -> None:
    def outcomes() -> list[bool]:
        sandbox.faults(seed=7, fail_before_rate=0.5)
        found = []
        for _ in range(12):
            try:
                create()
                found.append(True)
            except stripe.APIError:
                found.append(False)
        return found

    first = outcomes()
    assert first == outcomes()
    assert set(first) == {True, False}


def test_latency_does_not_serialise(create: Create, sandbox: Sandbox) -> None:
    sandbox.faults(latency_ms=500)
    with ThreadPoolExecutor(20) as pool:
        started = time.monotonic()
        list(pool.map(lambda _: create(), range(20)))
    assert 0.5 <= time.monotonic() - started < 5


def test_a_fault_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(requests.HTTPError, match="No fault is named"):
        sandbox.faults(coffee_rate=0.5)
    with pytest.raises(requests.HTTPError, match="from 0 to 1"):
        sandbox.faults(drop_after_rate=5)
    with pytest.raises(requests.HTTPError, match="needs a call"):
        sandbox.faults(next=[{"call": "POST /v1/payment_intent", "kind": "drop_after"}])
    with pytest.raises(requests.HTTPError, match="two limits"):
        sandbox.limits(speed=3)
