"""Reviews: a person looks at a payment before its money is taken; and the rules that ask for it."""

from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from db.connections import Conn, autocommit, transaction
from db.payments import reviews
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Schema, StrictInteger, Text
from web.support.pages import PageByUUID

blp = Blueprint("reviews", __name__, url_prefix="/v1", description="Payments that are looked at")

EVENT = "/events/<id:event_id>"
RISK = "/organisations/<id:organisation_id>/risk"


class Reason(Schema):
    """A rule that counted more than it lets pass."""

    rule = fields.String()
    value = StrictInteger()
    most = StrictInteger()
    window_seconds = StrictInteger()


class ReviewedPayment(Schema):
    """What the gateway tells of the card, and of how risky the payment is."""

    id = fields.UUID()
    card_fingerprint = fields.String(allow_none=True)
    card_country = fields.String(allow_none=True)
    card_checks = fields.Dict(
        allow_none=True, metadata={"description": "of the address and the code: pass, fail, …"}
    )
    risk_level = fields.String(
        allow_none=True, metadata={"description": "normal, elevated, highest, …"}
    )
    risk_score = StrictInteger(allow_none=True)
    message = fields.String(allow_none=True)


class Review(Schema):
    id = fields.UUID(metadata={"description": "the booking's"})
    code = fields.String()
    buyer_id = StrictInteger()
    quantity = StrictInteger()
    total = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    created_at = fields.AwareDateTime()
    decide_by = fields.AwareDateTime(
        metadata={"description": "then it ends as the organisation's review_ends says"}
    )
    reasons = fields.List(fields.Nested(Reason))
    payment = fields.Nested(ReviewedPayment)


class Decision(Schema):
    decision = fields.String(required=True, validate=validate.OneOf(["approve", "reject"]))
    reason = Text(most=500, required=True, metadata={"description": "for the audit; not mailed"})
    payment_id = fields.UUID(
        load_default=None,
        allow_none=True,
        metadata={"description": "the attempt that was looked at: refused if it is another now"},
    )


class Decided(Schema):
    booking_state = fields.String(metadata={"description": "secured, or failed"})


class RuleFields(Schema):
    window_seconds = StrictInteger(least=60, most=30 * 86_400, required=True)
    most = StrictInteger(
        most=100, required=True, metadata={"description": "that the rule lets pass"}
    )
    action = fields.String(required=True, validate=validate.OneOf(["review", "none"]))


class Rule(RuleFields):
    rule = fields.String()


class RiskFields(Schema):
    review_seconds = StrictInteger(
        least=60, most=6 * 86_400, metadata={"description": "that a review may take"}
    )
    review_ends = fields.String(
        validate=validate.OneOf(["reject", "approve"]),
        metadata={"description": "how one ends that was not decided"},
    )


class Risk(RiskFields):
    rules = fields.List(fields.Nested(Rule))


@blp.route(f"{EVENT}/reviews")
@organisations_only
@blp.paginated(Review, PageByUUID)
def list_reviews(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """Bookings whose payment waits for a review, the next deadline first."""
    return reviews.list_reviews(conn, caller().scope, event_id, **page)


@blp.route(f"{EVENT}/bookings/<uuid:booking_id>/review", methods=["POST"])
@organisations_only
@blp.arguments(Decision)
@blp.idempotent(Decided)
def decide_review(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Approve: the money is taken. Reject: it is given back, and the seats are free."""
    return reviews.decide_review(conn, caller().scope, event_id, booking_id, given)


@blp.route(RISK)
@organisations_only
@blp.response(200, Risk)
def get_review_rules(organisation_id: int) -> dict[str, Any]:
    """How an organisation reviews payments, and by which rules."""
    with autocommit() as conn:
        return reviews.get_settings(conn, caller().scope, organisation_id)


@blp.route(RISK, methods=["PATCH"])
@organisations_only
@blp.arguments(RiskFields)
@blp.response(200, Risk)
def change_review_rules(given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Change how long reviews take, and how they end; those under way keep their time."""
    with transaction(caller().name) as conn:
        return reviews.change_settings(conn, caller().scope, organisation_id, given)


@blp.route(f"{RISK}/rules/<name>", methods=["PUT"])
@organisations_only
@blp.arguments(RuleFields)
@blp.response(200, Risk)
def set_rule(given: dict[str, Any], organisation_id: int, name: str) -> dict[str, Any]:
    """Set a rule, or with action none switch it off."""
    with transaction(caller().name) as conn:
        return reviews.set_rule(conn, caller().scope, organisation_id, name, given)
