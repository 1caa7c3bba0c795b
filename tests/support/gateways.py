"""The gateways that tests/payments/test_gateways.py is run over: each an adapter of tasks/gateways,
with what plays its other side, and what that has in its books.

`stripe` is the adapter over the sandbox, `localstripe` the same over an independent imitation of
Stripe (what both agree on is not merely the sandbox author's idea of it), `offline` the tables in
which organisations write what they received.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import requests
import stripe

from db.connections import one, transaction
from db.payments import offline, payments, refunds
from db.payments.payments import PaymentOutcome, PaymentProgress
from db.payments.refunds import RefundProgress
from db.runtime.settings import settings
from ops.local.servers import free_port
from tests.support.dashboard import dashboard
from tests.support.running import Running
from tests.support.waiting import wait_until

GOOD, DECLINED, AUTHENTICATING, DISPUTED = (
    "pm_card_visa",
    "pm_card_chargeCustomerFail",
    "pm_card_authenticationRequired",
    "pm_card_createDispute",
)
IMITATION = """
import runpy, sys
from localstripe.resources import PaymentIntent
def received(intent):
    charge = intent.latest_charge
    return charge.amount if charge and charge.captured and charge.status == "succeeded" else 0
PaymentIntent.amount_received = property(received)
runpy.run_module("localstripe", run_name="__main__", alter_sys=True)
"""
"""localstripe, and a field that it leaves out of a PaymentIntent."""


class Subject:
    """A gateway under test. Progress is as the database has it."""

    provider, method = "stripe", "card"

    def __init__(self, running: Running) -> None:
        from tasks.gateways.registry import GATEWAYS

        self.running = running
        self.adapter = GATEWAYS[self.provider]

    def begin(self, card: str = GOOD) -> PaymentProgress:
        """A payment that is about to be sent."""
        booking = self.running.sale.hold("alice")
        payment = self.running.pay(booking, self.card(card), self.method)
        payments.mark_sent(self.running.conn, self.running.sale.event, payment)
        return self.read(booking)

    def pay(self, card: str = GOOD) -> PaymentProgress:
        """A payment whose buyer has done what they have to: it can be captured."""
        progress = self.begin(card)
        return self.record(progress, self.adapter.authorise(progress))

    def captured(self, card: str = GOOD) -> PaymentProgress:
        progress = self.pay(card)
        return self.record(progress, self.adapter.capture(progress))

    def record(self, progress: PaymentProgress, outcome: PaymentOutcome) -> PaymentProgress:
        assert payments.record(self.running.conn, progress, outcome)
        return self.read(progress.booking_id)

    def read(self, booking: UUID) -> PaymentProgress:
        return payments.get_progress(self.running.conn, self.running.sale.event, booking)

    def ask_for_refund(self, progress: PaymentProgress, amount: int) -> RefundProgress:
        """A refund that is about to be sent."""
        query = """select (write_refunds(%s, array[%s::uuid], array[%s::bigint], 'asked', ''))[1]
            as id"""
        values = [progress.event_id, progress.payment_id, amount]
        refund = one(self.running.conn.execute(query, values))["id"]
        refunds.mark_sent(self.running.conn, refund)
        return refunds.get_progress(self.running.conn, refund)

    def card(self, card: str) -> str | None:
        return card

    def carry_out(self, refund: RefundProgress) -> None:
        """Whatever has to be done outside before a refund has succeeded."""

    def attempts(self, progress: PaymentProgress) -> list[Any]:
        """What the gateway has of a payment."""
        found = self.client.v1.payment_intents.list({"limit": 100}).data
        return [one for one in found if one.metadata["payment_id"] == str(progress.payment_id)]

    def taken(self, progress: PaymentProgress) -> int:
        return sum(one.amount_received or 0 for one in self.attempts(progress))

    def refunded(self, progress: PaymentProgress) -> int:
        (attempt,) = self.attempts(progress)
        return sum(r.amount for r in self.client.v1.refunds.list({"payment_intent": attempt.id}))

    @property
    def client(self) -> stripe.StripeClient:

        return dashboard()


class Imitation(Subject):
    """localstripe does not know all that Usher sends, and 3-D Secure cards by number only."""

    def begin(self, card: str = GOOD) -> PaymentProgress:
        booking = super().begin(card).booking_id
        self.running.conn.execute("update payments set params = params - 'return_url'")
        return self.read(booking)

    def ask_for_refund(self, progress: PaymentProgress, amount: int) -> RefundProgress:
        refund = super().ask_for_refund(progress, amount).refund_id
        self.running.conn.execute("update refunds set params = params - 'reason'")
        return refunds.get_progress(self.running.conn, refund)

    def card(self, card: str) -> str | None:
        if card != AUTHENTICATING:
            return super().card(card)
        numbered: Any = {
            "number": "4000002760003184",
            "exp_month": 12,
            "exp_year": 2034,
            "cvc": "123",
        }
        return self.client.v1.payment_methods.create({"type": "card", "card": numbered}).id


class Offline(Subject):
    """The buyer pays at the desk, and the organisation writes it down."""

    provider = method = "offline"

    def __init__(self, running: Running) -> None:
        super().__init__(running)
        running.conn.execute(
            "update events set offline_account_id = offline_account(organisation_id),"
            " offline_seconds = 3600"
        )

    def pay(self, card: str = GOOD) -> PaymentProgress:
        progress = self.begin(card)
        self.receive(progress)
        return self.read(progress.booking_id)

    def receive(self, progress: PaymentProgress) -> None:
        """The organisation writes down that it has the money."""
        receipt = {"reference": "1", "amount": progress.amount, "currency": progress.currency}
        event = self.running.sale.event
        with transaction("organiser") as conn:
            offline.record_payment(conn, None, event, progress.booking_id, receipt)

    def card(self, card: str) -> None:
        return None

    def carry_out(self, refund: RefundProgress) -> None:
        with transaction("organiser") as conn:
            offline.record_refund(
                conn, None, refund.event_id, refund.booking_id, refund.refund_id, "in cash"
            )

    def taken(self, progress: PaymentProgress) -> int:
        query = "select amount from offline_payments where payment_id = %s and amount > 0"
        found = self.running.conn.execute(query, [progress.payment_id]).fetchall()
        return sum(int(row["amount"]) for row in found)

    def refunded(self, progress: PaymentProgress) -> int:
        query = """
            select amount from offline_refunds o join refunds r on r.id = o.refund_id
            where r.payment_id = %s"""
        found = self.running.conn.execute(query, [progress.payment_id]).fetchall()
        return sum(int(row["amount"]) for row in found)


SUBJECTS: dict[str, type[Subject]] = {
    "stripe": Subject,
    "localstripe": Imitation,
    "offline": Offline,
}


def case(**but: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test of all gateways but those named, with the reason why."""
    assert but.keys() < SUBJECTS.keys(), f"no such gateway, or none is left: {but}"
    return pytest.mark.parametrize(
        "gateway", [name for name in SUBJECTS if name not in but], indirect=True
    )


@pytest.fixture
def gateway(
    request: pytest.FixtureRequest, running: Running, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Subject]:
    from tasks.gateways.stripe import accounts

    if request.param == "localstripe":
        monkeypatch.setenv("STRIPE_API_BASE", request.getfixturevalue("imitation"))
        settings.cache_clear()
        accounts.forget_all()
    yield SUBJECTS[request.param](running)


@pytest.fixture(scope="session")
def imitation() -> Iterator[str]:
    with running_imitation() as url:
        yield url


@contextmanager
def running_imitation() -> Iterator[str]:
    """localstripe as a process; its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", IMITATION, f"--port={port}", "--from-scratch"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/v1/events", auth=("sk_test_1", ""), timeout=5).ok
    except requests.ConnectionError:
        return False
