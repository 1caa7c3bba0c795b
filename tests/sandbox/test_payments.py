"""Payments at the sandbox: Stripe's states, declines, authentication, delayed methods, disputes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe

from ops.sandbox.stripe.process import Sandbox
from tests.support.sandbox_client import KEY, PATIENCE, Create, Receiver, params, register

pytestmark = pytest.mark.processes


def failed_intent(error: stripe.StripeError) -> stripe.PaymentIntent:
    """The intent that the error object tells of."""
    assert error.error is not None
    assert error.error.payment_intent is not None
    return error.error.payment_intent


def delayed(method: str, **changes: Any) -> Any:
    return params(
        method, capture_method="automatic", payment_method_types=["sepa_debit"], **changes
    )


# The state machine


def test_it_authorises_and_captures(client: stripe.StripeClient, create: Create) -> None:
    intent = create(description="Two seats", statement_descriptor_suffix="USHER")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 5000)
    assert (intent.description, intent.statement_descriptor_suffix) == ("Two seats", "USHER")

    captured = client.v1.payment_intents.capture(intent.id)

    assert (captured.status, captured.amount_received) == ("succeeded", 5000)
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_it_confirms_what_was_created_before(client: stripe.StripeClient, create: Create) -> None:
    bare = client.v1.payment_intents.create({"amount": 900, "currency": "eur"})
    assert bare.status == "requires_payment_method"
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        client.v1.payment_intents.confirm(bare.id)

    ready = create(confirm=False)
    assert ready.status == "requires_confirmation"
    assert client.v1.payment_intents.confirm(ready.id).status == "requires_capture"


def test_a_capture_in_part_releases_the_rest(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    intent = create()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 5001})
    assert refused.value.code == "amount_too_large"

    captured = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 3000})

    assert captured.amount_received == 3000
    euros = sandbox.ledger()["currencies"]["eur"]
    assert (euros["captured"], euros["released"], euros["held"]) == (3000, 2000, 0)


def test_automatic_capture_takes_the_money_at_once(create: Create) -> None:
    assert create(capture_method="automatic").status == "succeeded"


def test_a_cancelled_intent_gives_the_authorisation_back(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    intent = create()

    cancelled = client.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})

    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
    euros = sandbox.ledger()["currencies"]["eur"]
    assert (euros["held"], euros["released"], euros["captured"]) == (0, 5000, 0)


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("requires_confirmation", ["capture"]),
        ("requires_action", ["capture"]),
        ("requires_capture", ["confirm"]),
        ("processing", ["capture", "confirm", "cancel"]),
        ("succeeded", ["capture", "confirm", "cancel"]),
        ("canceled", ["capture", "confirm", "cancel"]),
    ],
)
def test_a_call_that_does_not_fit_the_state_is_refused(
    client: stripe.StripeClient, create: Create, state: str, calls: list[str]
) -> None:
    intents = client.v1.payment_intents
    arrive: dict[str, Callable[[], stripe.PaymentIntent]] = {
        "requires_confirmation": lambda: create(confirm=False),
        "requires_action": lambda: create("pm_card_authenticationRequired"),
        "requires_capture": create,
        "processing": lambda: intents.create(delayed("pm_success_de")),
        "succeeded": lambda: intents.capture(create().id),
        "canceled": lambda: intents.cancel(create().id),
    }
    intent = arrive[state]()
    assert intent.status == state
    for call in calls:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            getattr(intents, call)(intent.id)
        assert refused.value.http_status == 400
        assert refused.value.code == "payment_intent_unexpected_state"
        assert refused.value.error is not None
        assert failed_intent(refused.value).status == state


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
        ),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
def test_a_declined_card(
    create: Create, client: stripe.StripeClient, method: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        create(method)

    error = refused.value.error
    assert error is not None
    assert (refused.value.http_status, error.code, error.decline_code) == (402, code, decline_code)
    intent = client.v1.payment_intents.retrieve(failed_intent(refused.value).id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == decline_code


def test_another_card_pays_after_a_decline(client: stripe.StripeClient, create: Create) -> None:
    with pytest.raises(stripe.CardError) as refused:
        create("pm_card_visa_chargeDeclined")
    assert refused.value.error is not None

    intent = client.v1.payment_intents.confirm(
        failed_intent(refused.value).id, {"payment_method": "pm_card_visa"}
    )

    assert (intent.status, intent.last_payment_error) == ("requires_capture", None)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"amount": 49}, "amount", "amount_too_small"),
        ({"amount": 49, "currency": "jpy"}, "amount", "amount_too_small"),
        ({"amount": 100_000_000}, "amount", "amount_too_large"),
        ({"amount": "12.5"}, "amount", "parameter_invalid_integer"),
        ({"amount": -5}, "amount", "parameter_invalid_integer"),
        ({"amount": ""}, "amount", "parameter_missing"),
        ({"currency": "xyz"}, "currency", None),
        ({"colour": "red"}, "colour", "parameter_unknown"),
        ({"payment_method": "pm_card_nobody"}, "payment_method", "resource_missing"),
        ({"metadata": {"k": "v" * 501}}, "metadata", None),
        ({"payment_method_types": []}, "return_url", None),
        ({"statement_descriptor_suffix": "x" * 23}, "statement_descriptor_suffix", None),
    ],
)
def test_wrong_parameters_are_refused(
    create: Create, sandbox: Sandbox, changes: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        create(**changes)
    assert (refused.value.http_status, refused.value.param, refused.value.code) == (
        400,
        param,
        code,
    )
    assert sandbox.ledger()["intents"] == []


def test_zero_decimal_currencies_count_whole_units(create: Create, sandbox: Sandbox) -> None:
    create(amount=50, currency="jpy")
    assert sandbox.ledger()["currencies"]["jpy"]["held"] == 50
    assert "50 JPY" in requests.get(sandbox.url, timeout=PATIENCE).text


def test_a_secret_key_is_needed(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/v1/payment_intents"
    answers = [
        requests.get(url, timeout=PATIENCE),
        requests.get(url, headers={"Authorization": "Bearer pk_test_x"}, timeout=PATIENCE),
        requests.get(url, auth=(KEY, ""), timeout=PATIENCE),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert answers[0].json()["error"]["type"] == "invalid_request_error"
    assert answers[0].headers["Request-Id"].startswith("req_")


def test_an_intent_that_is_not_there(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.retrieve("pi_nothing")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_the_latest_charge_can_be_expanded(client: stripe.StripeClient, create: Create) -> None:
    intent = create(expand=["latest_charge"])
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert (intent.latest_charge.captured, intent.latest_charge.amount) == (False, 5000)
    plain = client.v1.payment_intents.retrieve(intent.id)
    assert plain.latest_charge == intent.latest_charge.id
    assert client.v1.charges.retrieve(intent.latest_charge.id).payment_intent == intent.id
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.payment_intents.retrieve(intent.id, {"expand": ["moon"]})


def test_metadata_is_merged(client: stripe.StripeClient, create: Create) -> None:
    intent = create(metadata={"booking": "b1", "event": "e1"})
    changed = client.v1.payment_intents.update(
        intent.id, {"metadata": {"event": "", "attempt": "2"}}
    )
    assert changed.metadata.to_dict() == {"booking": "b1", "attempt": "2"}


# Authentication, delayed methods, what happens later


def test_the_buyer_approves_on_the_bank_s_page(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    intent = create("pm_card_threeDSecure2Required", return_url="http://shop.test/back?b=1")
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    page = intent.next_action.redirect_to_url.url
    assert page is not None
    shown = requests.get(page, timeout=PATIENCE).text
    assert "approve" in shown
    assert "fail" in shown

    answer = requests.post(
        page, data={"outcome": "approve"}, allow_redirects=False, timeout=PATIENCE
    )

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("http://shop.test/back?b=1&payment_intent=pi_")
    assert answer.headers["Location"].endswith("redirect_status=succeeded")
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_capture"


def test_the_buyer_fails_the_authentication(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    intent = create("pm_card_authenticationRequired")
    sandbox.authenticate(intent.id, "fail")

    failed = client.v1.payment_intents.retrieve(intent.id)

    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    with pytest.raises(requests.HTTPError, match="payment_intent_unexpected_state"):
        sandbox.authenticate(intent.id, "approve")


def test_an_absent_buyer_cannot_authenticate(create: Create) -> None:
    with pytest.raises(stripe.CardError) as refused:
        create("pm_card_authenticationRequired", off_session=True)
    assert refused.value.code == "authentication_required"


@pytest.mark.parametrize(
    ("method", "outcome", "status"),
    [
        ("pm_success_de", "payment_intent.succeeded", "succeeded"),
        ("pm_failed_de", "payment_intent.payment_failed", "requires_payment_method"),
    ],
)
def test_a_delayed_payment_ends_by_itself(
    client: stripe.StripeClient, receiver: Receiver, method: str, outcome: str, status: str
) -> None:
    secret = register(client, receiver, outcome)
    intent = client.v1.payment_intents.create(delayed(method))
    assert intent.status == "processing"

    event = receiver.next(secret)

    assert event.data.object["id"] == intent.id
    assert client.v1.payment_intents.retrieve(intent.id).status == status


def test_a_delayed_payment_ends_as_the_admin_says(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    intent = client.v1.payment_intents.create(delayed("pm_success_de"))
    sandbox.settle(intent.id, "failed")
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"


def test_a_delayed_method_cannot_be_captured_by_hand(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="manual capture"):
        client.v1.payment_intents.create(delayed("pm_success_de") | {"capture_method": "manual"})


def test_an_authorisation_lapses(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox, receiver: Receiver
) -> None:
    secret = register(client, receiver, "charge.expired", "payment_intent.canceled")
    intent = create()

    sandbox.lapse(intent.id)

    assert {receiver.next(secret).type, receiver.next(secret).type} == {
        "charge.expired",
        "payment_intent.canceled",
    }
    assert client.v1.payment_intents.retrieve(intent.id).cancellation_reason == "automatic"
    assert sandbox.ledger()["currencies"]["eur"]["held"] == 0


def test_a_dispute_follows_the_capture(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox, receiver: Receiver
) -> None:
    secret = register(client, receiver, "charge.dispute.created", "charge.dispute.closed")
    intent = client.v1.payment_intents.capture(create("pm_card_createDispute").id)

    dispute = receiver.next(secret).data.object

    assert (dispute["payment_intent"], dispute["status"]) == (intent.id, "needs_response")
    assert sandbox.ledger()["currencies"]["eur"]["net"] == 0
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"
    sandbox.close_dispute(dispute["id"], "won")
    assert receiver.next(secret).data.object["status"] == "won"
    assert sandbox.ledger()["currencies"]["eur"]["net"] == 5000
