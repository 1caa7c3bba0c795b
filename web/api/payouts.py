"""What the gateway did with an organisation's money: payouts to its bank, and fees."""

from typing import Any

from marshmallow import fields

from db.connections import Conn, autocommit
from db.payments import payouts
from web.api.gateway_accounts import own
from web.support.blueprint import Blueprint
from web.support.callers import needs
from web.support.enumerations import PAYOUT_STATE
from web.support.fields import Answer, OneOf, Schema, StrictInteger, Timestamp

blp = Blueprint(
    "payouts",
    __name__,
    url_prefix="/v1/organisations/<id:organisation_id>",
    description="Payouts and the gateway's fees",
)


class Payout(Answer):
    """Money that the gateway has sent to the organisation's bank."""

    id = StrictInteger(metadata={"description": "the payout's id here"})
    gateway_account_id = StrictInteger()
    gateway_ref = fields.String(metadata={"description": "its id at the gateway"})
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    state = OneOf(PAYOUT_STATE)
    made_at = fields.AwareDateTime(metadata={"description": "when it was made"})
    arrives_at = fields.AwareDateTime(metadata={"description": "when it is at the bank"})
    failure = fields.String(
        allow_none=True, metadata={"description": "why the bank sent it back; null: it did not"}
    )
    transactions = StrictInteger(metadata={"description": "changes of the balance that it pays"})
    gross = StrictInteger(metadata={"description": "their sum before fees, in minor units"})
    fee = StrictInteger(metadata={"description": "the gateway's fees for them, in minor units"})


class Window(Schema):
    """A time, by when the gateway has moved the money."""

    since = Timestamp(required=True, metadata={"description": "from then on"})
    until = Timestamp(required=True, metadata={"description": "before that"})


class Fees(Answer):
    """The gateway's fees for an organisation's payments, refunds and disputes, of one currency."""

    gateway_account_id = StrictInteger()
    currency = fields.String()
    transactions = StrictInteger(metadata={"description": "how many changes of the balance"})
    amount = StrictInteger(metadata={"description": "in minor units; refunds are below 0"})
    fee = StrictInteger(metadata={"description": "the gateway's, in minor units"})
    net = StrictInteger(metadata={"description": "amount less fee, in minor units"})


@blp.route("/payouts")
@needs("payouts.read")
@blp.paginated(Payout)
def list_payouts(conn: Conn, page: dict[str, Any], organisation_id: int) -> list[dict[str, Any]]:
    """Payouts of the organisation's own accounts, latest first. They are read every hour. Those of
    the platform's account are the platform's."""
    return payouts.list_payouts(conn, own(conn, organisation_id), **page)


@blp.route("/gateway-fees")
@needs("payouts.read")
@blp.arguments(Window, location="query")
@blp.response(200, Fees(many=True))
def sum_gateway_fees(window: dict[str, Any], organisation_id: int) -> list[dict[str, Any]]:
    """What the gateway has taken for the organisation's payments, by account and currency. Of an
    account that organisations share, only the organisation's own payments count."""
    with autocommit() as conn:
        return payouts.sum_fees(conn, own(conn, organisation_id), **window)
