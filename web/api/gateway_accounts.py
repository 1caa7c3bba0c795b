"""Accounts at the gateway: an organisation's own one, with its keys, or one that is connected."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from db.accounts.organisations import get_organisation
from db.connections import Conn, autocommit, transaction
from db.payments import merchants
from db.runtime.errors import NotAllowed
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import (
    ACCOUNT_ACCESS,
    ACCOUNT_MODE,
    ACCOUNT_STATE,
    AWAY_REASON,
)
from web.support.fields import Answer, Line, OneOf, Schema, StrictInteger

blp = Blueprint(
    "gateway_accounts",
    __name__,
    url_prefix="/v1/organisations/<id:organisation_id>/gateway-accounts",
    description="Accounts at the gateway",
)

API_KEY = {
    "description": "the account's secret key or a restricted key, whose prefix says its mode: "
    "sk_live_…, rk_test_…. It is never shown again"
}
A_KEY = validate.Regexp(
    r"^(sk|rk)_(live|test)_[A-Za-z0-9_]{8,240}$",
    error="sk_live_…, sk_test_…, rk_live_… or rk_test_….",
)
A_SECRET = validate.Regexp(r"^whsec_[A-Za-z0-9_+/=-]{8,240}$", error="whsec_….")


class NewGatewayAccount(Schema):
    """An account with a key of its own, or (operators) one that is connected to the platform."""

    api_key = Line(validate=A_KEY, metadata=API_KEY)
    connected_account = Line(
        validate=validate.Regexp(r"^acct_[A-Za-z0-9_]{4,240}$", error="acct_…."),
        metadata={"description": "of an account that is connected to the platform's"},
    )
    mode = OneOf(
        ACCOUNT_MODE, metadata={"description": "of a connected account; a key says it itself"}
    )
    statement_descriptor = Line(
        validate=validate.Length(5, 22), metadata={"description": "what buyers' banks show"}
    )

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if ("api_key" in data) == ("connected_account" in data):
            raise ValidationError("Give an api_key, or a connected_account.", "api_key")
        if "api_key" in data and data.get("mode", mode_of(data["api_key"])) != mode_of(
            data["api_key"]
        ):
            raise ValidationError("The key is one of the other mode.", "mode")


class NewKey(Schema):
    """Another key of the same account."""

    api_key = Line(required=True, validate=A_KEY, metadata=API_KEY)


class NewSecret(Schema):
    """The secret of the endpoint that the account's notifications come from."""

    secret = Line(
        required=True,
        validate=A_SECRET,
        metadata={"description": "whsec_…, of the endpoint that points to webhook_path"},
    )


class Away(Answer):
    """The account cannot be used: its lanes pause, and holds are credited the time."""

    since = fields.AwareDateTime(metadata={"description": "since when"})
    reason = OneOf(AWAY_REASON)


class GatewayAccount(Answer):
    """An account at the gateway, without its keys."""

    id = StrictInteger(metadata={"description": "the account's id here"})
    mode = OneOf(ACCOUNT_MODE)
    access = OneOf(ACCOUNT_ACCESS)
    state = OneOf(ACCOUNT_STATE)
    external_account = fields.String(
        allow_none=True,
        metadata={"description": "its id at the gateway; null: the platform's, or not known yet"},
    )
    refusal = fields.String(
        allow_none=True,
        metadata={"description": "why the gateway or Usher refused the last key; null: it did not"},
    )
    keys_checked_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when its key was accepted; null: never asked"}
    )
    statement_descriptor = fields.String(
        allow_none=True, metadata={"description": "what buyers' banks show; null: the gateway's"}
    )
    webhook_path = fields.String(
        allow_none=True,
        metadata={"description": "where its endpoint has to point; null: to the platform's"},
    )
    has_webhook_secret = fields.Boolean(
        allow_none=True,
        metadata={"description": "whether its notifications are believed; null: the platform's"},
    )
    away = fields.Nested(Away, allow_none=True, metadata={"description": "null: it can be used"})


def mode_of(api_key: str) -> str:
    return api_key.split("_")[1]


def own(conn: Conn, organisation_id: int) -> int:
    """The organisation, if the caller may act for it. Errors: NotFound."""
    return int(get_organisation(conn, caller().scope, organisation_id)["id"])


def shown(row: dict[str, Any]) -> dict[str, Any]:
    path = f"/webhooks/stripe/{row['id']}" if row["access"] == "own_keys" else None
    away = {"since": row["away_since"], "reason": row["away_reason"]}
    return row | {"webhook_path": path, "away": away if row["away_since"] else None}


@blp.route("")
@needs("gateway_accounts.read")
@blp.paginated(GatewayAccount)
def list_gateway_accounts(
    conn: Conn, page: dict[str, Any], organisation_id: int
) -> list[dict[str, Any]]:
    """The organisation's accounts at the gateway. The last one that is active takes the money of
    new events, unless these name another."""
    return [shown(row) for row in merchants.list_accounts(conn, own(conn, organisation_id), **page)]


@blp.route("/<id:account_id>")
@needs("gateway_accounts.read")
@blp.response(200, GatewayAccount)
def get_gateway_account(organisation_id: int, account_id: int) -> dict[str, Any]:
    """One account at the gateway."""
    with autocommit() as conn:
        return shown(merchants.get_account(conn, own(conn, organisation_id), account_id))


@blp.route("", methods=["POST"])
@needs("gateway_accounts.write")
@blp.arguments(NewGatewayAccount, example={"api_key": "sk_test_of_the_opera_1"})
@blp.idempotent(GatewayAccount, status=202)
@blp.conflicts("connected_already", "no_encryption_keys")
def add_gateway_account(conn: Conn, given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Connect an account. The gateway is asked whose it is; until it has answered, the state is
    `checking`. Only operators name an account that is connected to the platform."""
    own(conn, organisation_id)
    if "connected_account" in given and caller().scope is not None:
        raise NotAllowed("Operators connect accounts to the platform.")
    mode = mode_of(given["api_key"]) if "api_key" in given else given.get("mode", "live")
    return shown(merchants.add_account(conn, organisation_id, **given | {"mode": mode}))


@blp.route("/<id:account_id>/key", methods=["PUT"])
@needs("gateway_accounts.write")
@blp.arguments(NewKey, example={"api_key": "sk_test_of_the_opera_2"})
@blp.response(202, GatewayAccount)
@blp.conflicts("no_own_keys", "other_mode", "no_encryption_keys")
def offer_gateway_key(
    given: dict[str, Any], organisation_id: int, account_id: int
) -> dict[str, Any]:
    """Offer another key of the same account. It takes the place of the present one when the gateway
    has said that it is this account's; else `refusal` says why not."""
    with transaction(caller().name) as conn:
        mode = mode_of(given["api_key"])
        return shown(
            merchants.offer_key(
                conn, own(conn, organisation_id), account_id, mode, given["api_key"]
            )
        )


@blp.route("/<id:account_id>/check", methods=["POST"])
@needs("gateway_accounts.check")
@blp.response(202, GatewayAccount)
def check_gateway_account(organisation_id: int, account_id: int) -> dict[str, Any]:
    """Ask the gateway again whether the account can be used, for example after it was connected
    again."""
    with transaction(caller().name) as conn:
        return shown(merchants.check_again(conn, own(conn, organisation_id), account_id))


@blp.route("/<id:account_id>/webhook-secret", methods=["PUT"])
@needs("gateway_accounts.write")
@blp.arguments(NewSecret, example={"secret": "whsec_of_the_opera_1"})
@blp.response(200, GatewayAccount)
@blp.conflicts("no_own_keys", "no_encryption_keys")
def set_webhook_secret(
    given: dict[str, Any], organisation_id: int, account_id: int
) -> dict[str, Any]:
    """Set the secret with which the gateway signs this account's notifications; the account's
    processes use it within 10 seconds."""
    with transaction(caller().name) as conn:
        return shown(
            merchants.keep_webhook_secret(
                conn, own(conn, organisation_id), account_id, given["secret"]
            )
        )
