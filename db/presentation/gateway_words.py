"""Stripe's words for states, and ours."""

PAYMENT_STATES = {
    "requires_action": "requires_action",
    "requires_capture": "authorised",
    "succeeded": "captured",
    "canceled": "voided",
    "requires_payment_method": "failed",
    "requires_confirmation": "failed",
    "processing": "processing",
}
"""Our state of a payment for each of Stripe's states of an intent."""

REFUND_STATES = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
"""Our state of a refund for each of Stripe's."""
