"""Notifications of the gateway: stored once; each starts a task that reads the object there."""

import json
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, jsonify, request
from stripe import SignatureVerificationError, WebhookSignature

from db.connections import transaction
from db.payments.notifications import Notification, Taken, is_recent, take_notification
from db.presentation.gateway_words import PAYMENT_STATES, REFUND_STATES
from db.runtime.settings import settings
from web.support.transactions import retried

blp = Blueprint("gateway_notifications", __name__)

TOLERANCE = 300
MAX_BODY = 2**20  # a charge with everything expanded stays well below

MONEY_BACK = ("charge.dispute.", "charge.refund", "refund.", "radar.")


@blp.post("/webhooks/stripe")
def take() -> Any:
    """Verify the signature of the raw bytes, and store the notification once."""
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
    store(notification)
    return jsonify(received=True)


def store(notification: Notification) -> Taken:
    """Store a notification, in a second transaction if its booking has to be restored first."""
    taken = retried(lambda conn: take_notification(conn, notification), "gateway")
    return store(notification) if taken == "restored" else taken


def signed_at(signature: str) -> int:
    """The time of a verified header, in seconds since 1970."""
    items = (item.partition("=") for item in signature.split(","))
    return next(int(value) for name, _, value in items if name == "t")


def read_notification(event: dict[str, Any]) -> Notification:
    """Read a Stripe event. Errors: LookupError, TypeError or ValueError when it is none."""
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
    """One of our ids in the object's metadata."""
    try:
        return UUID((thing.get("metadata") or {}).get(name, ""))
    except ValueError:
        return None


def _says(thing: dict[str, Any]) -> str | None:
    """Our state for the payment, from an intent or a charge."""
    if thing.get("object") == "charge" and thing.get("status") == "succeeded":
        return "captured" if thing.get("captured") else "authorised"
    return (
        PAYMENT_STATES.get(str(thing.get("status")))
        if thing.get("object") == "payment_intent"
        else None
    )
