"""The PaymentIntent's state machine: https://docs.stripe.com/payments/paymentintents/lifecycle

    requires_payment_method -> requires_confirmation -> requires_action
    those three             -> requires_capture | processing | succeeded
    requires_capture        -> succeeded | canceled
    processing              -> succeeded | requires_payment_method
    any before a payment    -> canceled

Every function takes the account, the intent's id and the parameters, and returns the new intent.
"""

from __future__ import annotations

from dataclasses import replace

from ops.sandbox.stripe import charging, money
from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import Account, Intent
from ops.sandbox.stripe.cards import BANK
from ops.sandbox.stripe.errors import StripeError, invalid, unexpected_state
from ops.sandbox.stripe.params import Params

CREATE_NAMES = """
    amount currency confirm capture_method confirmation_method payment_method payment_method_types
    automatic_payment_methods payment_method_options description statement_descriptor_suffix
    statement_descriptor customer receipt_email return_url off_session setup_future_usage shipping
    error_on_requires_action mandate_data on_behalf_of transfer_data transfer_group
    application_fee_amount use_stripe_sdk radar_options amount_details payment_details
"""
UPDATE_NAMES = """
    amount currency payment_method description statement_descriptor_suffix receipt_email customer
    shipping setup_future_usage payment_method_options
"""
CONFIRM_NAMES = """
    payment_method return_url off_session error_on_requires_action mandate_data capture_method
    payment_method_options receipt_email setup_future_usage shipping use_stripe_sdk
"""
CAPTURE_NAMES = """
    amount_to_capture final_capture statement_descriptor_suffix statement_descriptor
    application_fee_amount transfer_data
"""
CREATE = frozenset(CREATE_NAMES.split())
UPDATE = frozenset(UPDATE_NAMES.split())
CONFIRM = frozenset(CONFIRM_NAMES.split())
CAPTURE = frozenset(CAPTURE_NAMES.split())
CANCEL = frozenset({"cancellation_reason"})
REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation",
              "requires_action")  # fmt: skip
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(account: Account, _id: str, params: Params) -> Intent:
    read.check_names(params, CREATE)
    intent = fresh(account, params)
    confirm_now = read.boolean(params, "confirm")
    if confirm_now:
        check_return_url(intent)
        check_method_fits(account, intent)
    account.put_intent(intent)
    account.emit("payment_intent.created", intent)
    return charging.attempt(account, intent, params) if confirm_now else intent


def fresh(account: Account, params: Params) -> Intent:
    """A new intent, before anything is attempted."""
    amount, currency = amount_and_currency(params)
    given = read.text(params, "payment_method")
    if read.boolean(params, "confirm") and given is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            param="payment_method",
        )
    capture = ("automatic", "automatic_async", "manual")
    metadata = read.metadata(params)
    suffix = read.text(params, "statement_descriptor_suffix", longest=22)
    types = read.listed(params, "payment_method_types")
    payment_method = account.new_method(given) if given else None
    return Intent(
        id=account.new_id("pi"),
        created=int(account.now),
        amount=amount,
        currency=currency,
        status="requires_confirmation" if given else "requires_payment_method",
        capture_method=read.choice(params, "capture_method", capture) or "automatic_async",
        types=types,
        redirects=redirects_allowed(params, types),
        payment_method=payment_method,
        metadata=metadata,
        description=read.text(params, "description", longest=1000),
        suffix=suffix,
        customer=read.text(params, "customer"),
        receipt_email=read.text(params, "receipt_email"),
        return_url=read.text(params, "return_url"),
    )


def amount_and_currency(params: Params) -> tuple[int, str]:
    read.required(params, "amount")
    currency = known_currency(read.required(params, "currency"))
    amount = read.integer(params, "amount") or 0
    check_amount(amount, currency)
    return amount, currency


def known_currency(given: str) -> str:
    currency = given.lower()
    if currency not in money.CURRENCIES:
        raise invalid(
            f"Invalid currency: {currency}. Give one of Stripe's supported currencies.",
            param="currency",
        )
    return currency


def check_amount(amount: int, currency: str) -> None:
    if amount < money.minimum(currency):
        least = money.written(money.minimum(currency), currency)
        raise invalid(f"Amount must be at least {least}", param="amount", code="amount_too_small")
    if amount > money.maximum(currency):
        most = money.written(money.maximum(currency), currency)
        raise invalid(
            f"Amount must be no more than {most}", param="amount", code="amount_too_large"
        )
    money.check_multiple(amount, currency)


def redirects_allowed(params: Params, types: tuple[str, ...]) -> bool:
    """Without types Stripe offers every method of the dashboard, those that redirect too."""
    automatic = params.get("automatic_payment_methods") or {}
    if not isinstance(automatic, dict):
        raise invalid("Invalid object", param="automatic_payment_methods")
    if types and automatic.get("enabled") == "true":
        raise invalid(
            "You may only specify one of these parameters: automatic_payment_methods, "
            "payment_method_types."
        )
    return not types and automatic.get("allow_redirects") != "never"


def check_return_url(intent: Intent) -> None:
    if intent.redirects and intent.return_url is None:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. "
            "Because some of these payment methods might redirect your customer off of your page, "
            "you must provide a `return_url`. If you don't want to accept redirect-based payment "
            "methods, set `automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating the "
            "PaymentIntent, or name its `payment_method_types`.",
            param="return_url",
        )


def check_method_fits(account: Account, intent: Intent) -> None:
    """The method is of an allowed type, takes the currency and can do manual capture."""
    method = account.method(intent.payment_method or "")
    if intent.types and method.type not in intent.types:
        raise invalid(
            f"The PaymentMethod provided ({method.type}) is not allowed for this PaymentIntent. "
            f"Its payment_method_types are: {', '.join(intent.types)}.",
            param="payment_method",
        )
    if method.currency and method.currency != intent.currency:
        raise invalid(
            f"The currency provided ({intent.currency}) is invalid for {method.type}. "
            f"Use {method.currency}.",
            param="currency",
        )
    if method.delayed and intent.capture_method == "manual":
        raise invalid(
            f"The payment method type {method.type} does not support manual capture.",
            param="capture_method",
        )


def update(account: Account, id: str, params: Params) -> Intent:
    read.check_names(params, UPDATE)
    intent = account.intent(id)
    changed = replace(intent, metadata=read.metadata(params, intent.metadata))
    if set(params) - read.COMMON:
        changed = update_payment(account, changed, params)
    return account.put_intent(changed)


def update_payment(account: Account, intent: Intent, params: Params) -> Intent:
    """Anything but metadata can only change before the payment."""
    if intent.status not in CONFIRMABLE:
        raise unexpected_state(
            f"This PaymentIntent could not be updated because it has a status of {intent.status}. "
            f"Only a PaymentIntent with one of the following statuses may be updated: "
            f"{', '.join(CONFIRMABLE)}.",
            intent,
        )
    given = read.text(params, "payment_method")
    amount = read.integer(params, "amount") or intent.amount
    currency = known_currency(read.text(params, "currency") or intent.currency)
    check_amount(amount, currency)
    return replace(
        intent,
        amount=amount,
        currency=currency,
        payment_method=account.new_method(given) if given else intent.payment_method,
        status="requires_confirmation" if given else intent.status,
        description=read.text(params, "description") or intent.description,
        suffix=read.text(params, "statement_descriptor_suffix", longest=22) or intent.suffix,
        receipt_email=read.text(params, "receipt_email") or intent.receipt_email,
        customer=read.text(params, "customer") or intent.customer,
    )


def confirm(account: Account, id: str, params: Params) -> Intent:
    read.check_names(params, CONFIRM)
    intent = account.intent(id)
    if intent.status not in CONFIRMABLE:
        raise unexpected_state(refuse_confirm(intent), intent)
    given = read.text(params, "payment_method")
    capture = read.choice(params, "capture_method", ("automatic", "automatic_async", "manual"))
    intent = replace(
        intent,
        payment_method=account.new_method(given) if given else intent.payment_method,
        capture_method=capture or intent.capture_method,
        return_url=read.text(params, "return_url") or intent.return_url,
    )
    if intent.payment_method is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. Update "
            "the PaymentIntent with a payment method, or give one in this call.",
            intent,
        )
    check_return_url(intent)
    check_method_fits(account, intent)
    return charging.attempt(account, intent, params)


def refuse_confirm(intent: Intent) -> str:
    if intent.status == "succeeded":
        return (
            "You cannot confirm this PaymentIntent because it has already succeeded after being "
            "previously confirmed."
        )
    return (
        f"You cannot confirm this PaymentIntent because it has a status of {intent.status}. Only a "
        "PaymentIntent with one of the following statuses may be confirmed: "
        f"{', '.join(CONFIRMABLE)}."
    )


def authenticate(account: Account, id: str, params: Params) -> Intent:
    """The buyer approves or fails 3-D Secure; `outcome` is `approve` or `fail`."""
    intent = account.intent(id)
    expect(intent, "requires_action", "authenticated")
    outcome = read.outcome(params, ("approve", "fail"))
    method = account.method(intent.payment_method or "")
    if outcome == "fail":
        return charging.fail_authentication(account, intent)
    return charging.pay(account, intent, method)


def settle(account: Account, id: str, params: Params) -> Intent:
    """A delayed payment ends; `outcome` is `succeeded` or `failed`."""
    intent = account.intent(id)
    expect(intent, "processing", "settled")
    outcome = read.outcome(params, ("succeeded", "failed"))
    if outcome == "failed":
        return charging.fail(account, intent, BANK)
    return charging.succeed(account, intent, intent.amount, "charge.succeeded")


def capture(account: Account, id: str, params: Params) -> Intent:
    read.check_names(params, CAPTURE)
    amount = read.integer(params, "amount_to_capture")
    intent = account.intent(id)
    if intent.status == "succeeded":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has already been captured.", intent
        )
    expect(intent, "requires_capture", "captured")
    if amount is not None and amount > intent.amount:
        raise StripeError(
            400,
            "invalid_request_error",
            "The amount_to_capture must be less than or equal to the amount_capturable "
            f"({intent.amount}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    intent = replace(intent, metadata=read.metadata(params, intent.metadata))
    return charging.succeed(account, intent, amount or intent.amount, "charge.captured")


def expect(intent: Intent, status: str, done: str) -> None:
    if intent.status != status:
        raise unexpected_state(
            f"This PaymentIntent could not be {done} because it has a status of {intent.status}. "
            f"Only a PaymentIntent with one of the following statuses may be {done}: {status}.",
            intent,
        )


def cancel(account: Account, id: str, params: Params) -> Intent:
    read.check_names(params, CANCEL)
    reason = read.choice(params, "cancellation_reason", REASONS)
    intent = account.intent(id)
    if intent.status not in CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent.status}. "
            "Only a PaymentIntent with one of the following statuses may be canceled: "
            f"{', '.join(CANCELABLE)}.",
            intent,
        )
    return charging.end(account, intent, reason, "charge.refunded")


def lapse(account: Account, id: str, _params: Params) -> Intent:
    """The authorisation expires without having been captured."""
    intent = account.intent(id)
    expect(intent, "requires_capture", "lapsed")
    return charging.end(account, intent, "automatic", "charge.expired")
