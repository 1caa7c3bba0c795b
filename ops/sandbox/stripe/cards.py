"""Stripe's test payment methods and what each of them does.

Sources: https://docs.stripe.com/testing?testing-method=payment-methods and, for Radar's risk
levels, https://docs.stripe.com/radar/testing. Radar's default rules are on: payments of the highest
risk are blocked; those of elevated risk are authorised and put in a review.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Decline:
    """Why an issuer refuses: Stripe's `code`, `decline_code` and message."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Method:
    """What a payment method does when it is charged, disputed or refunded."""

    type: str = "card"
    brand: str = "visa"
    last4: str = "4242"
    currency: str | None = None  # the only currency that it takes
    authenticate: bool = False
    decline: Decline | None = None
    delayed: str | None = None  # "succeeded" or "failed", some time after `processing`
    dispute: str | None = None  # the dispute's reason
    refund: str = "succeeded"  # "pending" succeeds later, "failed" fails later
    risk: str = "normal"  # or "elevated", "highest"

    @property
    def fingerprint(self) -> str:
        """The same for one number, whichever payment method it is given with."""
        return sha256(f"{self.type}/{self.brand}/{self.last4}".encode()).hexdigest()[:16]


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
NO_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
LOST = Decline("card_declined", "lost_card", "Your card was declined.")
STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.")
FRAUD = Decline("card_declined", "fraudulent", "Your card was declined.")
VELOCITY = Decline(
    "card_declined",
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its "
    "amount limit.",
)
EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.")
CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
PROCESSING = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
)
AUTHENTICATION = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
TOO_RISKY = Decline("card_declined", "fraudulent", "Your card was declined.")
BANK = Decline(
    "payment_intent_payment_attempt_failed",
    None,
    "The payment failed: the customer's bank refused the debit.",
)

METHODS: dict[str, Method] = {
    "pm_card_visa": Method(),
    "pm_card_visa_debit": Method(last4="5556"),
    "pm_card_mastercard": Method(brand="mastercard", last4="4444"),
    "pm_card_amex": Method(brand="amex", last4="8431"),
    "pm_card_chargeDeclined": Method(last4="0002", decline=GENERIC),
    "pm_card_visa_chargeDeclined": Method(last4="0002", decline=GENERIC),
    "pm_card_chargeCustomerFail": Method(last4="0341", decline=GENERIC),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Method(last4="9995", decline=NO_FUNDS),
    "pm_card_visa_chargeDeclinedLostCard": Method(last4="9987", decline=LOST),
    "pm_card_visa_chargeDeclinedStolenCard": Method(last4="9979", decline=STOLEN),
    "pm_card_visa_chargeDeclinedFraudulent": Method(last4="0019", decline=FRAUD),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": Method(last4="6975", decline=VELOCITY),
    "pm_card_chargeDeclinedExpiredCard": Method(last4="0069", decline=EXPIRED),
    "pm_card_chargeDeclinedIncorrectCvc": Method(last4="0127", decline=CVC),
    "pm_card_chargeDeclinedProcessingError": Method(last4="0119", decline=PROCESSING),
    "pm_card_authenticationRequired": Method(last4="3184", authenticate=True),
    "pm_card_threeDSecure2Required": Method(last4="3220", authenticate=True),
    "pm_card_threeDSecureRequired": Method(last4="3063", authenticate=True),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Method(
        last4="3178", authenticate=True, decline=NO_FUNDS
    ),
    "pm_card_riskLevelElevated": Method(last4="9235", risk="elevated"),
    "pm_card_riskLevelHighest": Method(last4="4954", risk="highest", decline=TOO_RISKY),
    "pm_card_radarBlock": Method(last4="0019", risk="highest", decline=TOO_RISKY),
    "pm_card_createDispute": Method(last4="0259", dispute="fraudulent"),
    "pm_card_createDisputeProductNotReceived": Method(last4="2685", dispute="product_not_received"),
    "pm_card_pendingRefund": Method(last4="7726", refund="pending"),
    "pm_card_refundFail": Method(last4="5126", refund="failed"),
    "pm_usBankAccount_success": Method(
        "us_bank_account", "", "6789", currency="usd", delayed="succeeded"
    ),
    "pm_usBankAccount_insufficientFunds": Method(
        "us_bank_account", "", "2222", currency="usd", delayed="failed"
    ),
    "pm_success_de": Method("sepa_debit", "", "3000", currency="eur", delayed="succeeded"),
    "pm_failed_de": Method("sepa_debit", "", "3001", currency="eur", delayed="failed"),
}
