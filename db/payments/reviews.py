"""Risk: what the gateway tells of a payment, the rules that have a person look at one before its
money is taken, and these reviews. `scope` is the organisation that the caller may act for; None:
all of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.accounts.audit_log import audit
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
)
"""What each of them counts: sql/functions/payments/review_rules_of.sql."""


@dataclass(frozen=True)
class Facts:
    """What the gateway tells of a card and of how risky its payment is; None: it does not tell.

    gateway_review: it wants a person to look. capture_before: when the authorisation lapses.
    """

    card_fingerprint: str | None = None
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
    """An event's bookings in review, those to be decided first at the front. Errors: NotFound."""
    events.check_owner(conn, scope, event_id)
    values = {"event_id": event_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_reviews, values))


def decide_review(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, asked: dict[str, Any]
) -> dict[str, Any]:
    """Approve or reject: {booking_state}, which is 'secured' or 'failed'.

    asked: {decision: 'approve' or 'reject', reason, payment_id: the attempt that was looked at, or
    None}. Errors: NotFound; Conflict not_in_review or other_payment.
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
    """End those that were not decided in time. Returns how many."""
    return int(one(conn.execute(sql.end_reviews, {"limit": limit}))["ended"])


def get_settings(conn: Conn, scope: int | None, organisation_id: int) -> dict[str, Any]:
    """{review_seconds, review_ends, rules: [{rule, window_seconds, most, action}]}.

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
    """given: {review_seconds, review_ends}, or less. As get_settings. Errors: NotFound."""
    _check_scope(scope, organisation_id)
    values = {"review_seconds": None, "review_ends": None} | given
    _change(conn, organisation_id, sql.change_settings, values, given)
    return get_settings(conn, scope, organisation_id)


def set_rule(
    conn: Conn, scope: int | None, organisation_id: int, rule: str, given: dict[str, Any]
) -> dict[str, Any]:
    """given: {window_seconds, most, action: 'review' or 'none'}. As get_settings. Errors: NotFound
    (the rule too)."""
    _check_scope(scope, organisation_id)
    if rule not in RULES:
        raise NotFound(f"There is no such rule; there are {', '.join(RULES)}.")
    values = given | {"rule": rule}
    _change(conn, organisation_id, sql.set_rule, values, values)
    return get_settings(conn, scope, organisation_id)


def _check_scope(scope: int | None, organisation_id: int) -> None:
    if scope not in (None, organisation_id):
        raise NotFound


def _change(
    conn: Conn, organisation_id: int, statement: Any, values: dict[str, Any], given: dict[str, Any]
) -> None:
    owner = {"organisation_id": organisation_id}
    if maybe(conn.execute(statement, values | owner)) is None:
        raise NotFound
    audit(conn, "review rules changed", None, given | owner)
