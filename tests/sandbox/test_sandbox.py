"""The Stripe sandbox answers as Stripe's documentation says, driven by the real stripe library."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import requests
import stripe

from ops.sandbox.stripe.process import Sandbox, running_sandbox, start_sandbox
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

KEY = "sk_test_alice"
CREATE = "POST /v1/payment_intents"
PATIENCE = 20  # seconds that a test waits for what must happen, before it fails

Create = Callable[..., stripe.PaymentIntent]


def client_of(sandbox: Sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, base_addresses={"api": sandbox.url}, max_network_retries=0)


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


def code_of(error: stripe.StripeError) -> str | None:
    """`error.code` stays empty for some classes (429, 409, 5xx); the error object has it."""
    return None if error.error is None else error.error.code


def failed_intent(error: stripe.StripeError) -> stripe.PaymentIntent:
    """The intent that the error object tells of."""
    assert error.error is not None
    assert error.error.payment_intent is not None
    return error.error.payment_intent


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


def delayed(method: str, **changes: Any) -> Any:
    return params(
        method, capture_method="automatic", payment_method_types=["sepa_debit"], **changes
    )


@pytest.fixture
def create(client: stripe.StripeClient) -> Create:
    def create(method: str = "pm_card_visa", **changes: Any) -> stripe.PaymentIntent:
        return client.v1.payment_intents.create(params(method, **changes))

    return create


# --- A receiver of webhooks ---------------------------------------------------------------------


class Receiver:
    """An HTTP server that puts what it gets into a queue and answers as it is told."""

    def __init__(self) -> None:
        self.got: Queue[tuple[bytes, str]] = Queue()
        self.answers: list[int] = []  # statuses of the next answers; then 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.got.put((body, self.headers["Stripe-Signature"]))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, secret: str) -> stripe.Event:
        """The next delivery, its signature checked by Stripe's own library."""
        body, signature = self.got.get(timeout=PATIENCE)
        return stripe.Webhook.construct_event(body, signature, secret)  # type: ignore[no-any-return]

    def until(self, type: str, secret: str) -> stripe.Event:
        """The next event of a type."""
        while True:
            event = self.next(secret)
            if event.type == type:
                return event

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def register(client: stripe.StripeClient, receiver: Receiver, *events: str) -> str:
    """Tell the sandbox of the receiver; the endpoint's secret."""
    wanted: Any = {"url": receiver.url, "enabled_events": list(events or ("*",))}
    endpoint = client.v1.webhook_endpoints.create(wanted)
    assert endpoint.secret is not None
    return endpoint.secret


# --- The state machine --------------------------------------------------------------------------


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


# --- Authentication, delayed methods, what happens later ----------------------------------------


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


# --- Lists and search ---------------------------------------------------------------------------


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


# --- Refunds ------------------------------------------------------------------------------------


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


# --- Idempotency keys ---------------------------------------------------------------------------


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


# --- Limits and faults --------------------------------------------------------------------------


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


# --- Webhooks and events ------------------------------------------------------------------------


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


def test_the_endpoint_of_the_command_line(receiver: Receiver) -> None:
    with running_sandbox(webhook_url=receiver.url, webhook_secret="whsec_shared") as sandbox:
        client_of(sandbox).v1.payment_intents.create(params())
        assert receiver.next("whsec_shared").data.object["object"] in ("payment_intent", "charge")
        sandbox.reset()
        client_of(sandbox).v1.payment_intents.create(params(metadata={"booking": "b2"}))
        event = receiver.until("payment_intent.created", "whsec_shared")
        while event.data.object["metadata"]["booking"] != "b2":
            event = receiver.until("payment_intent.created", "whsec_shared")


# --- The outside truth, and restarts ------------------------------------------------------------


def test_the_ledger_tells_who_was_charged_twice(
    client: stripe.StripeClient, create: Create, sandbox: Sandbox
) -> None:
    for booking in ("b1", "b2", "b2"):
        client.v1.payment_intents.capture(create(metadata={"booking": booking}).id)
    ledger = sandbox.ledger()
    assert ledger["charged_twice"] == ["b2"]
    assert ledger["bookings"]["b2"]["captured"] == 10_000
    assert ledger["currencies"]["eur"]["captured"] == 15_000
    assert ledger["currencies"]["eur"]["fees"] == 0
    assert [row["status"] for row in ledger["intents"]] == ["succeeded"] * 3
    assert "intents" not in sandbox.ledger(totals="1")


def test_the_page_shows_intents_ledger_and_faults(create: Create, sandbox: Sandbox) -> None:
    intent = create(metadata={"booking": "<b>1</b>"})
    sandbox.faults(drop_after_rate=0.25)
    page = requests.get(sandbox.url, timeout=PATIENCE).text
    assert intent.id in page
    assert "50.00 EUR" in page
    assert "0.25" in page
    assert "<b>1</b>" not in page


def test_everything_survives_a_crash(tmp_path: Path, receiver: Receiver) -> None:
    sandbox = start_sandbox(state_dir=tmp_path, settle_after=0, webhook_backoff=30)
    client = client_of(sandbox)
    receiver.answers = [500] * 3
    secret = register(client, receiver, "payment_intent.succeeded")
    first = client.v1.payment_intents.create(params(), {"idempotency_key": "b1:1"})
    client.v1.payment_intents.capture(first.id)
    client.v1.refunds.create({"payment_intent": first.id, "amount": 700})
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.create(params("pm_card_visa_chargeDeclined"))
    sandbox.faults(next=[{"call": CREATE, "kind": "fail_after"}])
    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.create(params(), {"idempotency_key": "b1:2"})
    refused = receiver.next(secret)
    ledger, events = sandbox.ledger(), [row.id for row in client.v1.events.list().data]
    port = int(sandbox.url.rsplit(":", 1)[1])
    sandbox.kill()
    receiver.answers = []

    with running_sandbox(state_dir=tmp_path, port=port, settle_after=0) as again:
        client = client_of(again)
        assert again.ledger() == ledger
        assert [row.id for row in client.v1.events.list().data] == events
        replayed = client.v1.payment_intents.create(params(), {"idempotency_key": "b1:1"})
        assert (replayed.id, replayed.status) == (first.id, "requires_capture")
        with pytest.raises(stripe.APIError) as failed:
            client.v1.payment_intents.create(params(), {"idempotency_key": "b1:2"})
        assert failed.value.headers is not None
        assert failed.value.headers["Idempotent-Replayed"] == "true"
        assert receiver.next(secret).id == refused.id
        new = client.v1.payment_intents.create(params(metadata={"booking": "b9"}))
        assert new.id not in {row["id"] for row in ledger["intents"]}


def test_a_line_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    with running_sandbox(state_dir=tmp_path) as sandbox:
        client_of(sandbox).v1.payment_intents.create(params())
        before = sandbox.ledger()
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"at": 17')
    with running_sandbox(state_dir=tmp_path) as sandbox:
        assert sandbox.ledger() == before
        client_of(sandbox).v1.payment_intents.create(params())
    with running_sandbox(state_dir=tmp_path) as sandbox:
        assert len(sandbox.ledger()["intents"]) == 2


def test_a_reset_forgets_everything(create: Create, sandbox: Sandbox) -> None:
    create()
    sandbox.faults(latency_ms=1)
    sandbox.reset()
    assert sandbox.ledger()["intents"] == []
    assert sandbox.calls()["total"] == 0
    assert sandbox.faults()["latency_ms"] == 0
