"""Values of the domain as Stripe's JSON objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.sandbox.stripe.account import (
    Charge,
    Dispute,
    Endpoint,
    Event,
    Failure,
    Intent,
    OwnAccount,
    Payout,
    Refund,
)
from ops.sandbox.stripe.balance import BalanceTransaction
from ops.sandbox.stripe.cards import METHODS, TOO_RISKY, Method
from ops.sandbox.stripe.endpoints import Deleted, NewEndpoint
from ops.sandbox.stripe.errors import StripeError

# The version that the stripe library of requirements.txt is pinned to.
API_VERSION = "2026-10-28.endive"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: the values, the list's path, and whether more follow."""

    values: tuple[Any, ...]
    url: str
    has_more: bool
    kind: str = "list"


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders for one request: its expansions, and where this server can be reached."""

    base_url: str
    expand: frozenset[str] = frozenset()

    def render(self, value: Any) -> Json:
        return RENDER[type(value)](self, value)

    def page(self, page: Page) -> Json:
        inner = frozenset(name.removeprefix("data.") for name in self.expand)
        one = Renderer(self.base_url, inner)
        data = [one.render(value) for value in page.values]
        found: Json = {"object": page.kind, "url": page.url, "has_more": page.has_more}
        if page.kind == "search_result":
            found["next_page"] = None
        return {**found, "data": data}

    def intent(self, intent: Intent) -> Json:
        latest = intent.latest
        method_type = METHODS[latest.method].type if latest else "card"
        return {
            "id": intent.id,
            "object": "payment_intent",
            "amount": intent.amount,
            "amount_capturable": intent.amount if intent.status == "requires_capture" else 0,
            "amount_details": {"tip": {}},
            "amount_received": latest.amount_captured if latest else 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": automatic(intent),
            "canceled_at": intent.canceled_at,
            "cancellation_reason": intent.cancellation_reason,
            "capture_method": intent.capture_method,
            "client_secret": client_secret(intent),
            "confirmation_method": "automatic",
            "created": intent.created,
            "currency": intent.currency,
            "customer": intent.customer,
            "description": intent.description,
            "last_payment_error": failure(intent.error, latest) if intent.error else None,
            "latest_charge": self.latest_charge(latest),
            "livemode": False,
            "metadata": intent.metadata,
            "next_action": self.next_action(intent),
            "on_behalf_of": None,
            "payment_method": intent.payment_method,
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": list(intent.types) or [method_type],
            "processing": None,
            "receipt_email": intent.receipt_email,
            "review": None,
            "setup_future_usage": None,
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": intent.suffix,
            "status": intent.status,
            "transfer_data": None,
            "transfer_group": None,
        }

    def latest_charge(self, charge: Charge | None) -> Json | str | None:
        if charge is None:
            return None
        return self.charge(charge) if "latest_charge" in self.expand else charge.id

    def next_action(self, intent: Intent) -> Json | None:
        """Always a redirect: there is no Stripe.js here that could run Stripe's other kind."""
        if intent.status != "requires_action":
            return None
        url = f"{self.base_url}/_sandbox/3ds/{intent.id}"
        return {
            "type": "redirect_to_url",
            "redirect_to_url": {"url": url, "return_url": intent.return_url},
        }

    def charge(self, charge: Charge) -> Json:
        given_back = charge.released + charge.refunded
        why = charge.failure
        return {
            "id": charge.id,
            "object": "charge",
            "amount": charge.amount,
            "amount_captured": charge.amount_captured,
            "amount_refunded": given_back,
            "balance_transaction": None,
            "billing_details": {"address": None, "email": None, "name": None, "phone": None},
            "calculated_statement_descriptor": charge.suffix,
            "captured": charge.captured,
            "created": charge.created,
            "currency": charge.currency,
            "customer": None,
            "description": charge.description,
            "disputed": charge.disputed,
            "failure_code": why.code if why else None,
            "failure_message": why.message if why else None,
            "livemode": False,
            "metadata": charge.metadata,
            "outcome": outcome(charge),
            "paid": charge.status == "succeeded",
            "payment_intent": charge.intent,
            "payment_method": charge.payment_method,
            "payment_method_details": charged(charge),
            "refunded": given_back == charge.amount,
            "statement_descriptor_suffix": charge.suffix,
            "status": charge.status,
        }

    def refund(self, refund: Refund) -> Json:
        found: Json = {
            "id": refund.id,
            "object": "refund",
            "amount": refund.amount,
            "balance_transaction": None,
            "charge": refund.charge,
            "created": refund.created,
            "currency": refund.currency,
            "metadata": refund.metadata,
            "payment_intent": refund.intent,
            "reason": refund.reason,
            "receipt_number": None,
            "status": refund.status,
        }
        if refund.failure_reason:
            found["failure_reason"] = refund.failure_reason
        return found

    def dispute(self, dispute: Dispute) -> Json:
        return {
            "id": dispute.id,
            "object": "dispute",
            "amount": dispute.amount,
            "charge": dispute.charge,
            "created": dispute.created,
            "currency": dispute.currency,
            "evidence_details": {"due_by": dispute.created + 7 * 86_400, "has_evidence": False},
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": dispute.intent,
            "reason": dispute.reason,
            "status": dispute.status,
        }

    def own_account(self, account: OwnAccount) -> Json:
        return {
            "id": account.id,
            "object": "account",
            "charges_enabled": True,
            "country": "DE",
            "default_currency": "eur",
            "payouts_enabled": True,
            "type": "standard",
        }

    def balance_transaction(self, row: BalanceTransaction) -> Json:
        source: Any = row.source
        if "source" in self.expand:
            source = {"id": row.source, "object": row.type, "payment_intent": row.intent}
        return {
            "id": row.id,
            "object": "balance_transaction",
            "amount": row.amount,
            "available_on": row.created + 2 * 86_400,
            "created": row.created,
            "currency": row.currency,
            "description": None,
            "exchange_rate": None,
            "fee": row.fee,
            "fee_details": [],
            "net": row.net,
            "reporting_category": row.type,
            "source": source,
            "status": "available" if row.payout else "pending",
            "type": row.type,
        }

    def payout(self, payout: Payout) -> Json:
        return {
            "id": payout.id,
            "object": "payout",
            "amount": payout.amount,
            "arrival_date": payout.arrival,
            "automatic": True,
            "balance_transaction": f"txn_{payout.id}",
            "created": payout.created,
            "currency": payout.currency,
            "failure_code": None,
            "failure_message": None,
            "livemode": False,
            "metadata": {},
            "method": "standard",
            "statement_descriptor": None,
            "status": payout.status,
            "type": "bank_account",
        }

    def event(self, event: Event) -> Json:
        return {
            "id": event.id,
            "object": "event",
            "api_version": API_VERSION,
            "created": event.created,
            "data": {"object": Renderer(self.base_url).render(event.subject)},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": event.request, "idempotency_key": event.key},
            "type": event.type,
        }

    def endpoint(self, endpoint: Endpoint) -> Json:
        return {
            "id": endpoint.id,
            "object": "webhook_endpoint",
            "api_version": None,
            "created": endpoint.created,
            "description": endpoint.description,
            "enabled_events": list(endpoint.events),
            "livemode": False,
            "metadata": endpoint.metadata,
            "status": "enabled",
            "url": endpoint.url,
        }

    def new_endpoint(self, new: NewEndpoint) -> Json:
        return {**self.endpoint(new.endpoint), "secret": new.endpoint.secret}

    def deleted(self, deleted: Deleted) -> Json:
        return {"id": deleted.id, "object": deleted.kind, "deleted": True}

    def error(self, error: StripeError) -> Json:
        fields = error.fields()
        if error.payment_intent:
            fields["payment_intent"] = self.render(error.payment_intent)
        return {"error": fields}


RENDER: dict[type, Callable[[Renderer, Any], Json]] = {
    Page: Renderer.page,
    Intent: Renderer.intent,
    Charge: Renderer.charge,
    Refund: Renderer.refund,
    Dispute: Renderer.dispute,
    OwnAccount: Renderer.own_account,
    BalanceTransaction: Renderer.balance_transaction,
    Payout: Renderer.payout,
    Event: Renderer.event,
    Endpoint: Renderer.endpoint,
    NewEndpoint: Renderer.new_endpoint,
    Deleted: Renderer.deleted,
    StripeError: Renderer.error,
}


def client_secret(intent: Intent) -> str:
    return f"{intent.id}_secret_{intent.id[:2:-1]}"


def automatic(intent: Intent) -> Json | None:
    if intent.types:
        return None
    return {"enabled": True, "allow_redirects": "always" if intent.redirects else "never"}


def failure(failure: Failure, tried: Charge | None) -> Json:
    named = {"code": failure.code, "decline_code": failure.decline_code, "charge": failure.charge}
    used: Json = {"id": failure.payment_method, "object": "payment_method"}
    if tried:
        method = METHODS[tried.method]
        used |= {"type": method.type, method.type: details(method)}
    return {
        "type": failure.type,
        **{name: value for name, value in named.items() if value is not None},
        "message": failure.message,
        "payment_method": used,
    }


SCORES = {"normal": 12, "elevated": 68, "highest": 92}


def outcome(charge: Charge) -> Json:
    """What the network and Radar say: https://docs.stripe.com/declines#blocked-payments"""
    method = METHODS[charge.method]
    found: Json = {
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": method.risk if method.type == "card" else "not_assessed",
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if method.type == "card":
        found["risk_score"] = SCORES[method.risk]
    if charge.failure and method.decline is TOO_RISKY:
        return found | {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    if charge.failure:
        return found | {
            "network_status": "declined_by_network",
            "reason": charge.failure.decline_code,
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }
    if method.risk == "elevated":
        return found | {
            "reason": "elevated_risk_level",
            "seller_message": "Stripe evaluated this payment as having elevated risk, and placed "
            "it in your manual review queue.",
            "type": "manual_review",
        }
    return found


WEEK = 7 * 86_400


def charged(charge: Charge) -> Json:
    """payment_method_details: the method as it was charged; an authorisation is held for a week."""
    method = METHODS[charge.method]
    found = details(method)
    if method.type == "card":
        checks = ("address_line1_check", "address_postal_code_check", "cvc_check")
        found["checks"] = {**dict.fromkeys(checks), "cvc_check": "pass"}
        if charge.status == "succeeded" and not charge.captured:
            found["capture_before"] = charge.created + WEEK
    return {"type": method.type, method.type: found}


def details(method: Method) -> Json:
    if method.type != "card":
        return {"last4": method.last4, "fingerprint": method.fingerprint}
    return {
        "brand": method.brand,
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": method.fingerprint,
        "funding": "credit",
        "last4": method.last4,
        "network": method.brand,
    }
