"""The money of a PaymentIntent: authorise, decline, capture, release.

Every function stores the new intent in the account, emits its events and returns it.
"""

from __future__ import annotations

from dataclasses import replace

from ops.sandbox.stripe import disputes
from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import Account, Charge, Failure, Intent
from ops.sandbox.stripe.cards import AUTHENTICATION, BANK, Decline, Method
from ops.sandbox.stripe.errors import StripeError
from ops.sandbox.stripe.params import Params


def attempt(account: Account, intent: Intent, params: Params) -> Intent:
    """Ask for authentication, or charge at once; a decline is Stripe's 402."""
    method = account.method(intent.payment_method or "")
    if not method.authenticate:
        return accepted(pay(account, intent, method))
    absent = params.get("off_session", "false") != "false"
    if absent or read.boolean(params, "error_on_requires_action"):
        return accepted(decline(account, intent, AUTHENTICATION))
    intent = account.put_intent(replace(intent, status="requires_action", error=None))
    account.emit("payment_intent.requires_action", intent)
    return intent


def accepted(intent: Intent) -> Intent:
    """The intent, unless its last attempt was declined."""
    failure = intent.error
    if failure is None:
        return intent
    raise StripeError(
        402,
        failure.type,
        failure.message,
        code=failure.code,
        decline_code=failure.decline_code,
        charge=failure.charge,
        payment_intent=intent,
    )


def pay(account: Account, intent: Intent, method: Method) -> Intent:
    """Authorise, capture too if that is automatic, or begin a delayed payment."""
    if method.decline:
        return decline(account, intent, method.decline)
    if method.delayed:
        return begin_delayed(account, intent, method.delayed)
    charge = new_charge(account, intent, "succeeded")
    if intent.capture_method != "manual":
        return succeed(account, add_charge(intent, charge), intent.amount, "charge.succeeded")
    intent = account.put_intent(replace(add_charge(intent, charge), status="requires_capture"))
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.amount_capturable_updated", intent)
    return intent


def new_charge(account: Account, intent: Intent, status: str) -> Charge:
    payment_method = intent.payment_method or ""
    return Charge(
        id=account.new_id("ch"),
        created=int(account.now),
        intent=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        status=status,
        method=account.method_names[payment_method],
        payment_method=payment_method,
        description=intent.description,
        suffix=intent.suffix,
        metadata=intent.metadata,
    )


def add_charge(intent: Intent, charge: Charge) -> Intent:
    return replace(intent, charges=(*intent.charges, charge), error=None)


def succeed(account: Account, intent: Intent, amount: int, charge_event: str) -> Intent:
    """Capture `amount` of the latest charge; what is left of it is released."""
    charge = intent.latest
    assert charge is not None
    charge = replace(
        charge,
        status="succeeded",
        captured=True,
        amount_captured=amount,
        released=charge.amount - amount,
    )
    intent = account.put_intent(intent.with_latest(charge, "succeeded"))
    account.emit(charge_event, charge)
    account.emit("payment_intent.succeeded", intent)
    reason = account.method(charge.payment_method).dispute
    if reason:
        disputes.open(account, charge, reason)
    return account.intent(intent.id)


def decline(account: Account, intent: Intent, why: Decline) -> Intent:
    charge = new_charge(account, intent, "failed")
    return fail(account, replace(intent, charges=(*intent.charges, charge)), why)


def fail(account: Account, intent: Intent, why: Decline) -> Intent:
    """The latest charge failed: another payment method is needed."""
    charge = intent.latest
    assert charge is not None
    failure = Failure(
        "card_error" if why is not BANK else "invalid_request_error",
        why.code,
        why.decline_code,
        why.message,
        charge.id,
        charge.payment_method,
    )
    charge = replace(charge, status="failed", failure=failure)
    intent = replace(
        intent.with_latest(charge, "requires_payment_method"), payment_method=None, error=failure
    )
    account.put_intent(intent)
    account.emit("charge.failed", charge)
    account.emit("payment_intent.payment_failed", intent)
    return intent


def begin_delayed(account: Account, intent: Intent, outcome: str) -> Intent:
    charge = new_charge(account, intent, "pending")
    intent = account.put_intent(replace(add_charge(intent, charge), status="processing"))
    account.emit("charge.pending", charge)
    account.emit("payment_intent.processing", intent)
    account.schedule("settle intent", intent.id, outcome, account.settle_after)
    return intent


def fail_authentication(account: Account, intent: Intent) -> Intent:
    failure = Failure(
        "invalid_request_error",
        "payment_intent_authentication_failure",
        None,
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data "
        "or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
        None,
        intent.payment_method or "",
    )
    intent = account.put_intent(
        replace(intent, status="requires_payment_method", payment_method=None, error=failure)
    )
    account.emit("payment_intent.payment_failed", intent)
    return intent


def end(account: Account, intent: Intent, reason: str | None, charge_event: str) -> Intent:
    """Cancel; an authorisation that is held is given back."""
    held = intent.latest if intent.status == "requires_capture" else None
    if held:
        held = replace(held, released=held.amount)
        intent = intent.with_latest(held)
    intent = replace(
        intent, status="canceled", canceled_at=int(account.now), cancellation_reason=reason
    )
    account.put_intent(intent)
    if held:
        account.emit(charge_event, held)
    account.emit("payment_intent.canceled", intent)
    return intent
