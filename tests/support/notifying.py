"""Stripe's notifications, signed and delivered; or as they have been read."""

import hmac
import json
import time
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from stripe import StripeObject, WebhookSignature

from db.payments.notifications import Notification
from tests.support.dashboard import dashboard
from tests.support.world import WEBHOOK_SECRET, Answer, Caller

PATH = "/webhooks/stripe"


def send(
    caller: Caller, event: Any, *, age: int = 0, secret: str = WEBHOOK_SECRET, path: str = PATH
) -> Answer:
    body = json.dumps(event)
    moment = int(time.time()) - age
    signature = WebhookSignature._compute_signature(f"{moment}.{body}", secret)
    return deliver(caller, body.encode(), f"t={moment},v1={signature}", path)


def send_bytes(caller: Caller, body: bytes) -> Answer:
    """Whatever it is, with a good signature."""
    moment = int(time.time())
    signed = hmac.new(WEBHOOK_SECRET.encode(), f"{moment}.".encode() + body, sha256)
    return deliver(caller, body, f"t={moment},v1={'0' * 64},v1={signed.hexdigest()},v0=x")


def deliver(caller: Caller, body: bytes, signature: str, path: str = PATH) -> Answer:
    headers = {"Stripe-Signature": signature}
    return caller.post(path, data=body, content_type="application/json", headers=headers)


def news(
    payment: UUID | None = None, says: str | None = None, *, type: str = "", **more: Any
) -> Notification:
    """A notification of this moment, as it was read."""
    kind = type or "payment_intent.succeeded"
    told = {"id": f"evt_{uuid4()}", "payload": "{}"} | more
    return Notification(int(time.time()), type=kind, payment_id=payment, says=says, **told)


def tell(anybody: Caller) -> set[str]:
    """Deliver all that has happened at the gateway, newest first; the types."""

    page = dashboard().v1.events.list({"limit": 100})
    for event in page.data:
        assert send(anybody, plain(event)).status_code == 200
    return {str(event.type) for event in page.data}


def plain(event: StripeObject) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(str(event))
    return found
