"""Notifications of the gateway: stored once; each starts a task that reads the object there.

The gateway repeats a notification that is refused for days, and then sends none any more. So all
that it has signed is accepted: what can be read is stored, and the rest is logged and ignored.
"""

import hmac
import json
import re
from contextlib import suppress
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog
from flask import abort, jsonify, request
from marshmallow import fields

from db.connections import transaction
from db.payments.notifications import Notification, Taken, is_recent, take_notification
from db.presentation.gateway_words import PAYMENT_STATES, REFUND_STATES
from db.presentation.texts import UNSTORABLE
from db.runtime.settings import settings
from web.support.blueprint import Blueprint
from web.support.fields import Answer
from web.support.transactions import retried

log = structlog.get_logger()

blp = Blueprint("gateway_notifications", __name__, description="For the gateway")

TOLERANCE = 300
MAX_BODY = 2**20  # a charge with everything expanded stays well below
LONGEST_ID = 255
DEEPEST = 100
"""Levels of a payload that are stored; the gateway's objects have about ten."""

MONEY_BACK = ("charge.dispute.", "charge.refund", "refund.", "radar.")


class Received(Answer):
    """The notification was signed by the gateway."""

    received = fields.Boolean(metadata={"description": "true, whether it can be used or not"})


BODY = {
    "description": "One of the gateway's events, as it sends it: at most 1 MiB. The signature is "
    "that of these very bytes.",
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "description": "the gateway's Event object"}
        }
    },
}


@blp.route("/webhooks/stripe", methods=["POST"])
@blp.doc(requestBody=BODY, security=[{"gateway_signature": []}])
@blp.response(200, Received)
def receive_notification() -> Any:
    """Receive a notification of the gateway: the signature of the raw bytes is verified, and the
    notification is stored once. It starts a task that reads its object at the gateway."""
    request.max_content_length = MAX_BODY
    body = request.get_data()
    signed_at = read_signature(body, request.headers.get("Stripe-Signature", ""))
    if signed_at is None:
        abort(400, "The signature is wrong.")
    notification = read_notification(body)
    with transaction("gateway") as conn:
        if not is_recent(conn, signed_at, TOLERANCE):
            abort(400, "The signature is too old.")
    if notification is None:
        log.warning("notification ignored", bytes=len(body))
    else:
        store(notification)
    return jsonify(received=True)


def store(notification: Notification) -> Taken:
    """Store a notification, in a second transaction if its booking has to be restored first."""
    taken = retried(lambda conn: take_notification(conn, notification), "gateway")
    return store(notification) if taken == "restored" else taken


def read_signature(body: bytes, header: str) -> int | None:
    """The time of the signature in the header (t=…,v1=…), in seconds since 1970; None: none of its
    signatures is right. Of the raw bytes, since Stripe's own function needs text.
    """
    items = [item.strip().partition("=") for item in header.split(",")]
    times = [value for name, _, value in items if name == "t"]
    if len(times) != 1 or not re.fullmatch(r"[0-9]{1,12}", times[0]):
        return None
    secret = settings().stripe_webhook_secret.encode()
    right = hmac.new(secret, times[0].encode() + b"." + body, sha256).hexdigest()
    given = [value for name, _, value in items if name == "v1"]
    is_right = any(hmac.compare_digest(value.encode(), right.encode()) for value in given)
    return int(times[0]) if is_right else None


def read_notification(body: bytes) -> Notification | None:
    """Read a Stripe event as far as it can be read. None: it is not one that could be stored."""
    try:
        event = storable(json.loads(body))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    id, type = _text(event, "id"), _text(event, "type")
    if id is None or type is None:
        return None
    thing = _dict(_dict(event, "data"), "object")
    is_intent, is_refund = (thing.get("object") == kind for kind in ("payment_intent", "refund"))
    return Notification(
        id=id,
        type=type,
        money_back=type.startswith(MONEY_BACK),
        payment_id=_our_id(thing, "payment_id"),
        gateway_ref=_text(thing, "id") if is_intent else _reference(thing, "payment_intent"),
        says=_says(thing),
        payload=event,
        refund_id=_our_id(thing, "refund_id") if is_refund else None,
        refund_gateway_ref=_text(thing, "id") if is_refund else None,
        refund_says=REFUND_STATES.get(str(thing.get("status"))) if is_refund else None,
        object_id=_text(thing, "id"),
    )


def storable(value: Any, level: int = 0) -> Any:
    """Copy JSON without what Postgres cannot hold: NUL, halves of surrogate pairs, infinite numbers
    and levels below DEEPEST."""
    if isinstance(value, str):
        return UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict | list) and level == DEEPEST:
        return None
    if isinstance(value, dict):
        return {storable(name): storable(part, level + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [storable(part, level + 1) for part in value]
    return value


def _dict(thing: dict[str, Any], name: str) -> dict[str, Any]:
    part = thing.get(name)
    return part if isinstance(part, dict) else {}


def _text(thing: dict[str, Any], name: str) -> str | None:
    """An id or a word of the gateway. None: there is none, or it cannot be one of the gateway's."""
    value = thing.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID or "\ufffd" in value:
        return None
    return value


def _reference(thing: dict[str, Any], name: str) -> str | None:
    """The id in a field that has an id or the whole object."""
    return _text(thing, name) or _text(_dict(thing, name), "id")


def _our_id(thing: dict[str, Any], name: str) -> UUID | None:
    """One of our ids in the object's metadata."""
    with suppress(ValueError):
        return UUID(_text(_dict(thing, "metadata"), name) or "")
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
