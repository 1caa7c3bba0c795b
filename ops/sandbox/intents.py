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

from ops.sandbox import disputes, money
from ops.sandbox import params as read
from ops.sandbox.account import Account, Charge, Failure, Intent
from ops.sandbox.cards import AUTHENTICATION, BANK, Decline, Method
from ops.sandbox.errors import StripeError, invalid, unexpected_state
from ops.sandbox.params import Params

CREATE = frozenset(
    [
        "amount",
        "currency",
        "confirm",
        "capture_method",
        "confirmation_method",
        "payment_method",
        "payment_method_types",
        "automatic_payment_methods",
        "payment_method_options",
        "description",
        "statement_descriptor_suffix",
        "statement_descriptor",
        "customer",
        "receipt_email",
        "return_url",
        "off_session",
        "setup_future_usage",
        "shipping",
        "error_on_requires_action",
        "mandate_data",
        "on_behalf_of",
        "transfer_data",
        "transfer_group",
        "application_fee_amount",
        "use_stripe_sdk",
        "radar_options",
        "amount_details",
        "payment_details",
    ]
)
UPDATE = frozenset(
    [
        "amount",
        "currency",
        "payment_method",
        "description",
        "statement_descriptor_suffix",
        "receipt_email",
        "customer",
        "shipping",
        "setup_future_usage",
        "payment_method_options",
    ]
)
CONFIRM = frozenset(
    [
        "payment_method",
        "return_url",
        "off_session",
        "error_on_requires_action",
        "mandate_data",
        "capture_method",
        "payment_method_options",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "use_stripe_sdk",
    ]
)
CAPTURE = frozenset(
    [
        "amount_to_capture",
        "final_capture",
        "statement_descriptor_suffix",
        "statement_descriptor",
        "application_fee_amount",
        "transfer_data",
    ]
)
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
    return attempt(account, intent, params) if confirm_now else intent


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
    currency = read.required(params, "currency").lower()
    if currency not in money.CURRENCIES:
        raise invalid(
            f"Invalid currency: {currency}. Give one of Stripe's supported currencies.",
            param="currency",
        )
    amount = read.integer(params, "amount") or 0
    check_amount(amount, currency)
    return amount, currency


def check_amount(amount: int, currency: str) -> None:
    if amount < money.minimum(currency):
        least = money.written(money.minimum(currency), currency)
        raise invalid(f"Amount must be at least {least}", param="amount", code="amount_too_small")
    if amount > money.MAXIMUM:
        most = money.written(money.MAXIMUM, currency)
        raise invalid(
            f"Amount must be no more than {most}", param="amount", code="amount_too_large"
        )


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
    currency = read.text(params, "currency") or intent.currency
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
    return attempt(account, intent, params)


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
        intent=intent,
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


def authenticate(account: Account, id: str, params: Params) -> Intent:
    """The buyer approves or fails 3-D Secure; `outcome` is `approve` or `fail`."""
    intent = account.intent(id)
    expect(intent, "requires_action", "authenticated")
    outcome = read.outcome(params, ("approve", "fail"))
    method = account.method(intent.payment_method or "")
    return (
        fail_authentication(account, intent) if outcome == "fail" else pay(account, intent, method)
    )


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


def settle(account: Account, id: str, params: Params) -> Intent:
    """A delayed payment ends; `outcome` is `succeeded` or `failed`."""
    intent = account.intent(id)
    expect(intent, "processing", "settled")
    outcome = read.outcome(params, ("succeeded", "failed"))
    if outcome == "failed":
        return fail(account, intent, BANK)
    return succeed(account, intent, intent.amount, "charge.succeeded")


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
    return succeed(account, intent, amount or intent.amount, "charge.captured")


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
    return end(account, intent, reason, "charge.refunded")


def lapse(account: Account, id: str, _params: Params) -> Intent:
    """The authorisation expires without having been captured."""
    intent = account.intent(id)
    expect(intent, "requires_capture", "lapsed")
    return end(account, intent, "automatic", "charge.expired")


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
