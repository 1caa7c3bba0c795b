"""Reviews: rules make a payment wait for a person before its money is captured. `scope` is the
organisation that the caller may act for; None: all of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.catalogue import events
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("payments/reviews")

RULES = (
    "buyer_attempts",
    "buyer_seats",
    "card_buyers",
    "card_bookings",
    "address_buyers",
    "gateway_review",
    "risk_level",
    "buyer_declines",
    "card_declines",
    "address_declines",
)
"""sql/functions/payments/review_rules_of.sql says what each of them counts."""


@dataclass(frozen=True)
class Facts:
    """The gateway's facts about a card and the risk of its payment; None: unknown.

    gateway_review: the gateway wants a review. capture_before: when the authorisation lapses.
    """

    card_fingerprint: str | None = None
    card_last4: int | None = None
    card_country: str | None = None
    card_checks: dict[str, str | None] | None = None
    risk_level: str | None = None
    risk_score: int | None = None
    risk_message: str | None = None
    gateway_review: bool = False
    capture_before: datetime | None = None


NO_FACTS = Facts()


def list_reviews(
    conn: Conn, scope: int | None, event_id: int, starting_after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Bookings of an event in review, those with the earliest end first. Errors: NotFound."""
    events.check_owner(conn, scope, event_id)
    values = {"event_id": event_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_reviews, values))


def decide_review(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, asked: dict[str, Any]
) -> dict[str, Any]:
    """Approve or reject: {booking_state}, which is 'secured' or 'failed'.

    asked: {decision: 'approve' or 'reject', reason, payment_id: the attempt that the organiser saw,
    or None}. Errors: NotFound; Conflict not_in_review or other_payment.
    """
    values = asked | {"event_id": event_id, "scope": scope, "booking_id": booking_id}
    row = one(conn.execute(sql.decide_review, values))
    if row["outcome"] == "no_booking":
        raise NotFound
    if row["outcome"] == "not_in_review":
        state = row["booking_state"]
        raise Conflict(f"The booking is {state}: there is nothing to decide.", "not_in_review")
    if row["outcome"] == "other_payment":
        raise Conflict("The buyer pays with another attempt: look again.", "other_payment")
    return {"booking_state": row["booking_state"]}


def end_reviews(conn: Conn, limit: int) -> int:
    """End reviews that were not decided in time, and return how many there were."""
    return int(one(conn.execute(sql.end_reviews, {"limit": limit}))["ended"])


def get_settings(conn: Conn, scope: int | None, organisation_id: int) -> dict[str, Any]:
    """The settings: {review_seconds, review_ends, rules: [{rule, window_seconds, most, action}]}.

    Errors: NotFound.
    """
    _check_scope(scope, organisation_id)
    row = maybe(conn.execute(sql.get_settings, {"organisation_id": organisation_id}))
    if row is None:
        raise NotFound
    return row


def change_settings(
    conn: Conn, scope: int | None, organisation_id: int, given: dict[str, Any]
) -> dict[str, Any]:
    """Change settings, and return them, see get_settings. given: {review_seconds, review_ends}, or
    only some of them. Errors: NotFound."""
    _check_scope(scope, organisation_id)
    values = {"review_seconds": None, "review_ends": None} | given
    _change(conn, organisation_id, sql.change_settings, values)
    return get_settings(conn, scope, organisation_id)


def set_rule(
    conn: Conn, scope: int | None, organisation_id: int, rule: str, given: dict[str, Any]
) -> dict[str, Any]:
    """Set a rule, and return the settings, see get_settings. given: {window_seconds, most, action:
    'review' or 'none'}. Errors: NotFound (the organisation or the rule)."""
    _check_scope(scope, organisation_id)
    if rule not in RULES:
        raise NotFound(f"There is no such rule; there are {', '.join(RULES)}.")
    values = given | {"rule": rule}
    _change(conn, organisation_id, sql.set_rule, values)
    return get_settings(conn, scope, organisation_id)


def _check_scope(scope: int | None, organisation_id: int) -> None:
    if scope not in (None, organisation_id):
        raise NotFound


def _change(conn: Conn, organisation_id: int, statement: Any, values: dict[str, Any]) -> None:
    """A trigger writes the audit log."""
    owner = {"organisation_id": organisation_id}
    if maybe(conn.execute(statement, values | owner)) is None:
        raise NotFound
