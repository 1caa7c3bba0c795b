"""The gateway's words for states, and ours; and what buyers are told of its failures."""

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

NOTIFICATION_TYPES = (
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.requires_action",
    "payment_intent.processing",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "radar.early_fraud_warning.created",
    "account.application.deauthorized",
)
"""The types of Stripe's events that can say more than is known: those that an endpoint is to be
registered for. All others are answered and forgotten. Versions of Stripe's API before October 2024
tell of refunds in `charge.refund.updated` alone."""

FAILURES = {
    "declined": (
        "Your bank declined the payment. Nothing was charged: try again, pay in another way, or "
        "ask your bank."
    ),
    "not_approved": (
        "Your bank did not get your approval. Nothing was charged: try again, or pay in another "
        "way."
    ),
    "refused": "The payment could not be made. Nothing was charged: pay in another way.",
    "not_sent": "The payment was not sent in time. Nothing was charged.",
    "returned": "Your money came too late, or was another amount: all of it goes back to you.",
}
"""What buyers are told, by the code that they are told. The gateway's own texts are written for
programmers, may name our account, and tell who tries stolen cards which of them are good."""

CODES = {
    "payment_intent_authentication_failure": "not_approved",
    "authentication_required": "not_approved",
    "authentication_not_handled": "not_approved",
    "payment_intent_payment_attempt_expired": "not_approved",
    "refused": "refused",
    "not_sent": "not_sent",
    "late_money": "returned",
    "wrong_money": "returned",
}
"""The code for buyers, by the gateway's code or by ours; any other is a decline."""


def tell_failure(code: str | None) -> dict[str, str] | None:
    """What a buyer is told of a payment that failed: {code, message}. None: it did not fail."""
    if code is None:
        return None
    told = CODES.get(code, "declined")
    return {"code": told, "message": FAILURES[told]}
