"""Reviews: a person decides about an authorised payment before it is captured; and their rules."""

from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from db.connections import Conn, autocommit, transaction
from db.payments import reviews
from web.support.auth import caller, organisations_only
from web.support.blueprint import Blueprint
from web.support.fields import Line, Schema, StrictInteger
from web.support.pages import PageByUUID

blp = Blueprint(
    "reviews", __name__, url_prefix="/v1", description="Payments in review, and review rules"
)

EVENT = "/events/<id:event_id>"
RISK = "/organisations/<id:organisation_id>/risk"


class Reason(Schema):
    """A rule whose limit was exceeded."""

    rule = fields.String()
    value = StrictInteger()
    most = StrictInteger()
    window_seconds = StrictInteger()


class ReviewedPayment(Schema):
    """A payment in review, with the gateway's data about the card and its risk."""

    id = fields.UUID()
    card_fingerprint = fields.String(allow_none=True)
    card_country = fields.String(allow_none=True)
    card_checks = fields.Dict(
        allow_none=True,
        metadata={"description": "checks of the address and the security code: pass, fail, …"},
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
        metadata={"description": "the time limit; then it ends by the organisation's review_ends"}
    )
    reasons = fields.List(fields.Nested(Reason))
    payment = fields.Nested(ReviewedPayment)


class Decision(Schema):
    decision = fields.String(required=True, validate=validate.OneOf(["approve", "reject"]))
    reason = Line(most=500, required=True, metadata={"description": "for the audit; not mailed"})
    payment_id = fields.UUID(
        load_default=None,
        allow_none=True,
        metadata={"description": "the reviewed attempt; refused if there is another one now"},
    )


class Decided(Schema):
    booking_state = fields.String(metadata={"description": "secured, or failed"})


class RuleFields(Schema):
    window_seconds = StrictInteger(least=60, most=30 * 86_400, required=True)
    most = StrictInteger(most=100, required=True, metadata={"description": "the limit of the rule"})
    action = fields.String(required=True, validate=validate.OneOf(["review", "none"]))


class Rule(RuleFields):
    rule = fields.String()


class RiskFields(Schema):
    review_seconds = StrictInteger(
        least=60, most=6 * 86_400, metadata={"description": "time limit of a review in seconds"}
    )
    review_ends = fields.String(
        validate=validate.OneOf(["reject", "approve"]),
        metadata={"description": "how a review ends that was not decided in time"},
    )


class Risk(RiskFields):
    rules = fields.List(fields.Nested(Rule))


@blp.route(f"{EVENT}/reviews")
@organisations_only
@blp.paginated(Review, PageByUUID)
def list_reviews(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """Bookings whose payment is in review, the next time limit first."""
    return reviews.list_reviews(conn, caller().scope, event_id, **page)


@blp.route(f"{EVENT}/bookings/<uuid:booking_id>/review", methods=["POST"])
@organisations_only
@blp.arguments(Decision)
@blp.idempotent(Decided)
def decide_review(
    conn: Conn, given: dict[str, Any], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Approve: the payment is captured. Reject: it is voided, and the seats are free."""
    return reviews.decide_review(conn, caller().scope, event_id, booking_id, given)


@blp.route(RISK)
@organisations_only
@blp.response(200, Risk)
def get_review_rules(organisation_id: int) -> dict[str, Any]:
    """The review rules of an organisation."""
    with autocommit() as conn:
        return reviews.get_settings(conn, caller().scope, organisation_id)


@blp.route(RISK, methods=["PATCH"])
@organisations_only
@blp.arguments(RiskFields)
@blp.response(200, Risk)
def change_review_rules(given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Change the time limit of reviews and how they end; open reviews keep their limit."""
    with transaction(caller().name) as conn:
        return reviews.change_settings(conn, caller().scope, organisation_id, given)


@blp.route(f"{RISK}/rules/<name>", methods=["PUT"])
@organisations_only
@blp.arguments(RuleFields)
@blp.response(200, Risk)
def set_rule(given: dict[str, Any], organisation_id: int, name: str) -> dict[str, Any]:
    """Set a rule; action none switches it off."""
    with transaction(caller().name) as conn:
        return reviews.set_rule(conn, caller().scope, organisation_id, name, given)
