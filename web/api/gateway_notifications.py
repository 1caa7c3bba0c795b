"""Notifications of the gateway: each that is news starts a task that reads the object there.

The gateway repeats a notification that is refused for days, and then sends none any more. So all
that it has signed is accepted: what is news is stored, and the rest is forgotten. Nearly all are
answered before they come here (web/notifications/fast_path.py).
"""

import json
from typing import Any

import structlog
from flask import abort, jsonify, request
from marshmallow import fields

from db.connections import transaction
from db.payments.notifications import (
    Notification,
    Taken,
    is_recent,
    restore_booking,
    take_notification,
)
from db.presentation.gateway_words import NOTIFICATION_TYPES
from web.notifications.reading import (
    MAX_BODY,
    is_wanted,
    read_event,
    read_notification,
    read_signature,
)
from web.notifications.signers import secrets_of
from web.support.blueprint import Blueprint
from web.support.fields import Answer
from web.support.transactions import retried

log = structlog.get_logger()

blp = Blueprint("gateway_notifications", __name__, description="For the gateway")


class Received(Answer):
    """The notification was signed by the gateway."""

    received = fields.Boolean(metadata={"description": "true, whether it can be used or not"})


BODY = {
    "description": "One of the gateway's events, as it sends it: at most 1 MiB. The signature is "
    "that of these very bytes. Register the endpoint for these types, since others are answered "
    f"and forgotten: {', '.join(NOTIFICATION_TYPES)}.",
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
    """Receive a notification of the gateway: the signature of the raw bytes is verified. One that
    goes further than what is known is stored, and starts a task that reads its object at the
    gateway."""
    return receive(None)


@blp.route("/webhooks/stripe/<id:account_id>", methods=["POST"])
@blp.doc(requestBody=BODY, security=[{"gateway_signature": []}])
@blp.response(200, Received)
def receive_account_notification(account_id: int) -> Any:
    """Receive a notification for an account that has keys of its own, signed with its own secret.
    It counts within this account alone, whatever it says."""
    return receive(account_id)


def receive(signer: int | None) -> Any:
    request.max_content_length = MAX_BODY
    body = request.get_data()
    signed_at = read_signature(
        body, request.headers.get("Stripe-Signature", ""), secrets_of(signer)
    )
    if signed_at is None:
        abort(400, "The signature is wrong.")
    event = read_event(body)
    if event is None or not is_wanted(event):
        recent = is_still_good(signed_at)
    else:
        recent = store(read_notification(event, json.dumps(event), signed_at, signer)) != "too_old"
    if not recent:
        abort(400, "The signature is too old.")
    if event is None:
        log.warning("notification ignored", bytes=len(body))
    return jsonify(received=True)


def is_still_good(signed_at: int) -> bool:
    with transaction("gateway") as conn:
        return is_recent(conn, signed_at)


def store(notification: Notification) -> Taken:
    """Store a notification if it is news, once its booking is restored if that was archived."""
    taken = retried(lambda conn: take_notification(conn, notification), "gateway")
    if taken != "archived":
        return taken
    retried(lambda conn: restore_booking(conn, notification), "gateway")
    return store(notification)
