"""Refunds: whole or in part, never more than was captured; a success can later fail."""

from __future__ import annotations

from dataclasses import replace

from ops.sandbox.stripe import money
from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import Account, Charge, Refund
from ops.sandbox.stripe.cards import METHODS
from ops.sandbox.stripe.errors import StripeError, invalid, missing, unexpected_state
from ops.sandbox.stripe.params import Params

CREATE_NAMES = """
    payment_intent charge amount reason refund_application_fee reverse_transfer instructions_email
    origin
"""
CREATE = frozenset(CREATE_NAMES.split())
REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(account: Account, _id: str, params: Params) -> Refund:
    read.check_names(params, CREATE)
    amount = read.integer(params, "amount")
    reason = read.choice(params, "reason", REASONS)
    metadata = read.metadata(params)
    charge = charge_to_refund(account, params)
    amount = refundable(charge, amount)
    refund = Refund(
        id=account.new_id("re"),
        created=int(account.now),
        amount=amount,
        currency=charge.currency,
        charge=charge.id,
        intent=charge.intent,
        status="pending" if METHODS[charge.method].refund == "pending" else "succeeded",
        reason=reason,
        metadata=metadata,
    )
    pay_back(account, refund, charge)
    return refund


def charge_to_refund(account: Account, params: Params) -> Charge:
    charge_id, intent_id = read.text(params, "charge"), read.text(params, "payment_intent")
    if charge_id:
        return captured(account.charge(charge_id))
    if not intent_id:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or "
            "charge."
        )
    intent = account.intents.get(intent_id)
    if intent is None:
        raise missing("payment_intent", intent_id, param="payment_intent", status=400)
    if intent.latest is None or not intent.latest.captured:
        raise unexpected_state(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.", intent
        )
    return intent.latest


def captured(charge: Charge) -> Charge:
    if not charge.captured:
        raise StripeError(
            400,
            "invalid_request_error",
            f"Charge {charge.id} has not been captured; cancel its PaymentIntent instead.",
            code="charge_not_refundable",
        )
    return charge


def refundable(charge: Charge, amount: int | None) -> int:
    """The amount to refund; all that is left if none is named."""
    left = charge.amount_captured - charge.refunded
    if charge.disputed:
        raise StripeError(
            400,
            "invalid_request_error",
            f"Charge {charge.id} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if left == 0:
        raise StripeError(
            400,
            "invalid_request_error",
            f"Charge {charge.id} has already been refunded.",
            code="charge_already_refunded",
        )
    if amount is not None:
        money.check_multiple(amount, charge.currency)
    if amount is not None and amount > left:
        raise StripeError(
            400,
            "invalid_request_error",
            f"Refund amount ({money.written(amount, charge.currency)}) is greater than unrefunded "
            f"amount on charge ({money.written(left, charge.currency)})",
            param="amount",
        )
    return amount or left


def pay_back(account: Account, refund: Refund, charge: Charge) -> None:
    charge = replace(charge, refunded=charge.refunded + refund.amount)
    account.put_charge(charge)
    account.refunds.put(refund)
    account.emit("refund.created", refund)
    account.emit("charge.refunded", charge)
    later = METHODS[charge.method].refund
    if later != "succeeded":
        outcome = "succeeded" if later == "pending" else "failed"
        account.schedule("settle refund", refund.id, outcome, account.refund_after)


def get(account: Account, id: str) -> Refund:
    found = account.refunds.get(id)
    if found is None:
        raise missing("refund", id)
    return found


def settle(account: Account, id: str, params: Params) -> Refund:
    """A refund reaches its end; `outcome` is `succeeded` or `failed`, also after a success."""
    refund = get(account, id)
    outcome = read.outcome(params, ("succeeded", "failed"))
    if refund.status == "failed" or refund.status == outcome:
        raise invalid(f"Refund {id} is already {refund.status}.")
    if outcome == "succeeded":
        refund = replace(refund, status="succeeded")
        account.refunds.put(refund)
        account.emit("refund.updated", refund)
        return refund
    return take_back(account, refund)


def take_back(account: Account, refund: Refund) -> Refund:
    """The buyer's bank sent the refund back: the money is with the merchant again."""
    refund = replace(refund, status="failed", failure_reason="expired_or_canceled_card")
    charge = account.charge(refund.charge)
    account.refunds.put(refund)
    account.put_charge(replace(charge, refunded=charge.refunded - refund.amount))
    account.emit("refund.updated", refund)
    account.emit("refund.failed", refund)
    return refund
