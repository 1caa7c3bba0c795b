"""What the sandbox shows from outside, and that it survives a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
import stripe

from ops.sandbox.stripe.process import Sandbox, running_sandbox, start_sandbox
from tests.support.sandbox_client import (
    CREATE,
    PATIENCE,
    Create,
    Receiver,
    client_of,
    params,
    register,
)

pytestmark = pytest.mark.processes


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
