"""Reviews: a person decides about an authorised payment before it is captured; and their rules."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.connections import Conn, autocommit, transaction
from db.payments import reviews
from web.support.blueprint import Blueprint, parameter
from web.support.callers import caller, needs
from web.support.enumerations import BOOKING_STATE, DECISION, REVIEW_RULE, RULE_ACTION
from web.support.fields import Answer, Line, OneOf, Schema, StrictInteger
from web.support.pages import PageByUUID

blp = Blueprint(
    "reviews", __name__, url_prefix="/v1", description="Payments in review, and review rules"
)

EVENT = "/events/<id:event_id>"
RISK = "/organisations/<id:organisation_id>/risk"


class Reason(Answer):
    """A rule whose limit was exceeded."""

    rule = OneOf(REVIEW_RULE)
    value = StrictInteger(metadata={"description": "what was counted"})
    most = StrictInteger(metadata={"description": "the limit"})
    window_seconds = StrictInteger(metadata={"description": "in which it was counted"})


class ReviewedPayment(Answer):
    """A payment in review, with the gateway's data about the card and its risk."""

    id = fields.UUID(metadata={"description": "the payment_id of a decision"})
    card_fingerprint = fields.String(
        allow_none=True, metadata={"description": "the same for one card; null: not a card"}
    )
    card_country = fields.String(
        allow_none=True, metadata={"description": "of two letters, as in DE; null: not known"}
    )
    card_checks = fields.Dict(
        allow_none=True,
        metadata={
            "description": "checks of the address and the security code: pass, fail, …; null: none"
        },
    )
    risk_level = fields.String(
        allow_none=True,
        metadata={"description": "the gateway's: normal, elevated, highest, …; null: not known"},
    )
    risk_score = StrictInteger(
        allow_none=True, metadata={"description": "the gateway's, 0 to 99; null: not known"}
    )
    message = fields.String(
        allow_none=True, metadata={"description": "the gateway's; null: it says nothing"}
    )


class Review(Answer):
    """A booking whose payment is in review."""

    id = fields.UUID(metadata={"description": "the booking's"})
    code = fields.String(metadata={"description": "the booking's"})
    buyer_id = StrictInteger()
    quantity = StrictInteger(metadata={"description": "how many seats"})
    total = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    created_at = fields.AwareDateTime()
    decide_by = fields.AwareDateTime(
        metadata={"description": "the time limit; then it ends by the organisation's review_ends"}
    )
    reasons = fields.List(
        fields.Nested(Reason), metadata={"description": "the rules whose limits were exceeded"}
    )
    payment = fields.Nested(ReviewedPayment)


class Decision(Schema):
    """What is decided about a payment, and why."""

    decision = OneOf(DECISION, required=True)
    reason = Line(most=500, required=True, metadata={"description": "for the audit; not mailed"})
    payment_id = fields.UUID(
        load_default=None,
        allow_none=True,
        metadata={"description": "the reviewed attempt; refused if there is another one now"},
    )


class Decided(Answer):
    """The booking afterwards."""

    booking_state = OneOf(BOOKING_STATE, metadata={"description": "secured, or failed"})


class RuleFields(Schema):
    """The limit of a rule."""

    window_seconds = StrictInteger(
        least=60,
        most=30 * 86_400,
        required=True,
        metadata={"description": "the seconds before the payment in which is counted"},
    )
    most = StrictInteger(most=100, required=True, metadata={"description": "the limit of the rule"})
    action = OneOf(RULE_ACTION, required=True)


class Rule(RuleFields, Answer):
    """A rule and its limit."""

    rule = OneOf(REVIEW_RULE)


class RiskFields(Schema):
    """What is to be changed; fields that are left out stay."""

    review_seconds = StrictInteger(
        least=60, most=6 * 86_400, metadata={"description": "time limit of a review in seconds"}
    )
    review_ends = OneOf(
        DECISION, metadata={"description": "how a review ends that was not decided in time"}
    )


class Risk(RiskFields, Answer):
    """When payments are reviewed, and how reviews end."""

    rules = fields.List(fields.Nested(Rule), metadata={"description": "by their names"})


@blp.route(f"{EVENT}/reviews")
@needs("reviews.read")
@blp.paginated(Review, PageByUUID, reads="reviews read")
def list_reviews(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """Bookings whose payment is in review, the next time limit first."""
    return reviews.list_reviews(conn, caller().scope, event_id, **page)


@blp.route(f"{EVENT}/bookings/<uuid:booking_id>/review", methods=["POST"])
@needs("reviews.decide")
@blp.arguments(Decision, example={"decision": "approve", "reason": "A school class."})
@blp.idempotent(Decided)
@blp.conflicts("not_in_review", "other_payment")
def decide_review(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Approve: the payment is captured. Reject: it is voided, and the seats are free."""
    return reviews.decide_review(conn, caller().scope, event_id, booking_id, given)


@blp.route(RISK)
@needs("reviews.read")
@blp.response(200, Risk)
def get_review_rules(organisation_id: int) -> dict[str, Any]:
    """The review rules of an organisation."""
    with autocommit() as conn:
        return reviews.get_settings(conn, caller().scope, organisation_id)


@blp.route(RISK, methods=["PATCH"])
@needs("reviews.configure")
@blp.arguments(RiskFields, example={"review_seconds": 7200, "review_ends": "approve"})
@blp.response(200, Risk)
def change_review_rules(given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Change the time limit of reviews and how they end; open reviews keep their limit."""
    with transaction(caller().name) as conn:
        return reviews.change_settings(conn, caller().scope, organisation_id, given)


@blp.route(
    f"{RISK}/rules/<name>", methods=["PUT"], parameters=[parameter("name", REVIEW_RULE, "the rule")]
)
@needs("reviews.configure")
@blp.arguments(RuleFields, example={"window_seconds": 86400, "most": 6, "action": "review"})
@blp.response(200, Risk)
def set_review_rule(given: dict[str, Any], organisation_id: int, name: str) -> dict[str, Any]:
    """Set a rule; action none switches it off."""
    with transaction(caller().name) as conn:
        return reviews.set_rule(conn, caller().scope, organisation_id, name, given)
