"""Stripe's notifications, in Usher's words: the signature, and what it is about."""

import hmac
import json
import re
from contextlib import suppress
from hashlib import sha256
from typing import Any
from uuid import UUID

from db.payments.notifications import Notification
from db.presentation.gateway_words import NOTIFICATION_TYPES, PAYMENT_STATES, REFUND_STATES
from db.presentation.texts import UNSTORABLE

MAX_BODY = 2**20
"""Bytes; a charge with everything expanded stays well below."""
LONGEST_ID = 255
DEEPEST = 100
"""Levels of a payload that are stored; the gateway's objects have about ten."""

WANTED = frozenset(NOTIFICATION_TYPES)


def read_signature(body: bytes, header: str, secrets: list[bytes]) -> int | None:
    """The time of the signature in the header (t=…,v1=…), in seconds since 1970; None: none of its
    signatures is right. Of the raw bytes, since Stripe's own function needs text.
    """
    items = [item.strip().partition("=") for item in header.split(",")]
    times = [value for name, _, value in items if name == "t"]
    if len(times) != 1 or not re.fullmatch(r"[0-9]{1,12}", times[0]):
        return None
    signed = times[0].encode() + b"." + body
    right = [hmac.digest(secret, signed, sha256).hex().encode() for secret in secrets]
    given = [value.encode() for name, _, value in items if name == "v1"]
    is_right = any(hmac.compare_digest(one, other) for one in given for other in right)
    return int(times[0]) if is_right else None


def read_event(body: bytes) -> dict[str, Any] | None:
    """Stripe's event, as far as it can be stored. None: it is none, or has no id or type."""
    try:
        event = storable(json.loads(body))
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(event, dict) and _text(event, "id") and _text(event, "type")
    return event if is_event else None


def is_wanted(event: dict[str, Any]) -> bool:
    """Whether events of its type can say more than is known."""
    return event["type"] in WANTED


def read_notification(
    event: dict[str, Any], payload: str, signed_at: int, signer: int | None = None
) -> Notification:
    """What an event with an id and a type is about. payload: the event as it is to be stored.
    signer: the account whose own secret has signed it. Ids of its events are kept apart from those
    of others."""
    thing = _dict(_dict(event, "data"), "object")
    is_intent, is_refund = (thing.get("object") == kind for kind in ("payment_intent", "refund"))
    status = str(thing.get("status"))
    return Notification(
        signed_at=signed_at,
        id=event["id"] if signer is None else f"{signer}/{event['id']}",
        type=event["type"],
        payload=payload,
        account=_text(event, "account"),
        signer=signer,
        payment_id=_our_id(thing, "payment_id"),
        gateway_ref=_text(thing, "id") if is_intent else _reference(thing, "payment_intent"),
        says=PAYMENT_STATES.get(status) if is_intent else None,
        object_id=_text(thing, "id"),
        refund_id=_our_id(thing, "refund_id") if is_refund else None,
        refund_gateway_ref=_text(thing, "id") if is_refund else None,
        refund_says=REFUND_STATES.get(status) if is_refund else None,
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
