"""What the gateway tells us. It is stored and makes us look; nothing is believed."""

import json
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, jsonify, request
from stripe import SignatureVerificationError, WebhookSignature

from db.connections import transaction
from db.payments.notifications import Notification, is_recent, take_notification
from db.presentation.gateway_words import PAYMENT_STATES, REFUND_STATES
from db.runtime.settings import settings

blp = Blueprint("gateway_notifications", __name__)

TOLERANCE = 300
MAX_BODY = 2**20  # a charge with everything expanded stays well below

MONEY_BACK = ("charge.dispute.", "charge.refund", "refund.", "radar.")


@blp.post("/webhooks/stripe")
def take() -> Any:
    """Verify the raw bytes, store the notification once, answer."""
    request.max_content_length = MAX_BODY
    body, signature = request.get_data(), request.headers.get("Stripe-Signature", "")
    try:
        WebhookSignature.verify_header(body.decode(), signature, settings().stripe_webhook_secret)
        notification = read_notification(json.loads(body))
    except SignatureVerificationError:
        abort(400, "The signature is wrong.")
    except (ValueError, KeyError, TypeError, AttributeError):
        abort(400, "This is not a notification.")
    with transaction("gateway") as conn:
        if not is_recent(conn, signed_at(signature), TOLERANCE):
            abort(400, "The signature is too old.")
        take_notification(conn, notification)
    return jsonify(received=True)


def signed_at(signature: str) -> int:
    """Seconds since 1970, of a header that was verified."""
    items = (item.partition("=") for item in signature.split(","))
    return next(int(value) for name, _, value in items if name == "t")


def read_notification(event: dict[str, Any]) -> Notification:
    """What a Stripe event is about. Errors: KeyError and its like when it is none."""
    thing = event["data"]["object"]
    is_intent, is_refund = (thing.get("object") == kind for kind in ("payment_intent", "refund"))
    intent = thing["id"] if is_intent else thing.get("payment_intent")
    return Notification(
        id=str(event["id"]),
        type=str(event["type"]),
        money_back=event["type"].startswith(MONEY_BACK),
        payment_id=_id(thing, "payment_id"),
        gateway_ref=intent["id"] if isinstance(intent, dict) else intent,
        says=_says(thing),
        payload=event,
        refund_id=_id(thing, "refund_id") if is_refund else None,
        refund_gateway_ref=thing["id"] if is_refund else None,
        refund_says=REFUND_STATES.get(str(thing.get("status"))) if is_refund else None,
        object_id=str(thing["id"]),
    )


def _id(thing: dict[str, Any], name: str) -> UUID | None:
    """Of the ids of ours that a thing's metadata holds."""
    try:
        return UUID((thing.get("metadata") or {}).get(name, ""))
    except ValueError:
        return None


def _says(thing: dict[str, Any]) -> str | None:
    """The payment's state in our words, as an intent or a charge tells it."""
    if thing.get("object") == "charge" and thing.get("status") == "succeeded":
        return "captured" if thing.get("captured") else "authorised"
    return (
        PAYMENT_STATES.get(str(thing.get("status")))
        if thing.get("object") == "payment_intent"
        else None
    )
