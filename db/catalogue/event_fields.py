"""What may be changed of an event that was opened: one table, field by field.

A draft may be changed in everything. An event that was cancelled, or is in the archive, in nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from db.runtime.errors import Conflict

Event = dict[str, Any]
"""An event as lock_event reads it."""


class Effect(Enum):
    """free: changed at once. sale: changed at once, for holds that begin later; those that are made
    keep what they were made with. told: buyers are told, so it has an action of its own. refused:
    it stays as it is."""

    FREE = "free"
    SALE = "sale"
    TOLD = "told"
    REFUSED = "refused"


@dataclass(frozen=True)
class Rule:
    """The effect of changing a field, and when it is refused: with which reason, and what to do
    instead. allowed: whether the event may get this new value."""

    effect: Effect
    reason: str = ""
    message: str = ""
    allowed: Callable[[Event, Any], bool] = lambda event, new: False


def _free() -> Rule:
    return Rule(Effect.FREE, allowed=lambda event, new: True)


def _for_later_holds() -> Rule:
    return Rule(Effect.SALE, allowed=lambda event, new: True)


def _told(what: str) -> Rule:
    message = f"Buyers must be told of another {what}: use POST …/postponements."
    return Rule(Effect.TOLD, "buyers_must_be_told", message)


OPENED: dict[str, Rule] = {
    "name": _free(),
    "terms": _free(),
    "offline_instructions": _free(),
    "categories": _for_later_holds(),
    "booking_fee": _for_later_holds(),
    "booking_fee_tax_rate": _for_later_holds(),
    "hold_seconds": _for_later_holds(),
    "claim_seconds": _for_later_holds(),
    "grace_seconds": _for_later_holds(),
    "pass_seconds": _for_later_holds(),
    "gated": _for_later_holds(),
    "payment_methods": _for_later_holds(),
    "offline_seconds": _for_later_holds(),
    "seats_per_buyer": Rule(
        Effect.SALE,
        "only_more",
        "Entries that wait may ask for as many seats as they could when they joined: it can only "
        "be raised.",
        lambda event, new: bool(new > event["seats_per_buyer"]),
    ),
    "off_sale_at": Rule(
        Effect.SALE,
        "only_later",
        "Buyers count on the sale's end: it can only be later. POST …/close ends the sale now.",
        lambda event, new: bool(new > event["off_sale_at"]),
    ),
    "on_sale_at": Rule(
        Effect.SALE,
        "sale_has_begun",
        "The sale has begun. POST …/pause keeps the queue waiting.",
        lambda event, new: not event["begun"],
    ),
    "accessible_release_seconds": Rule(
        Effect.SALE,
        "already_released",
        "The places that were kept for wheelchairs are released already.",
        lambda event, new: event["accessible_released_at"] is None,
    ),
    "starts_at": _told("date"),
    "time_zone": _told("time zone"),
    "currency": Rule(
        Effect.REFUSED,
        "fixed_after_opening",
        "The event was opened in this currency: cancel it, and add another one.",
    ),
    "plan_version_id": Rule(
        Effect.REFUSED,
        "fixed_after_opening",
        "Bookings have seats of this version: POST …/plan-version moves them to another one.",
    ),
}


def check_changes(event: Event, changes: dict[str, Any]) -> None:
    """Check that an event, in its state, may get these new values.

    Errors: Conflict with the `path` of the first field that is refused, and its reason.
    """
    if event["state"] == "draft" or not changes:
        return
    for state, message in (
        ("cancelled", "The event was cancelled."),
        ("archived", "The event is in the archive."),
    ):
        if event["archive_month"] if state == "archived" else event["state"] == state:
            raise Conflict(message, state, path=min(changes))
    for field, rule in OPENED.items():
        if field in changes and not rule.allowed(event, changes[field]):
            raise Conflict(rule.message, rule.reason, path=field)


def concerns_sale(changes: dict[str, Any]) -> bool:
    """Whether a change concerns holds that begin later, and not only what is read."""
    return any(OPENED[field].effect is not Effect.FREE for field in changes)
