"""API keys of an organisation's servers. A key is shown once, when it is made or rotated."""

from ipaddress import ip_network
from typing import Any

from marshmallow import ValidationError, fields, validate

from db.accounts import api_keys, organisations
from db.accounts.api_keys import MOST_OVERLAP, SCOPES, NewKey
from db.connections import Conn, autocommit, transaction
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import KEY_ROLE
from web.support.fields import Answer, Name, OneOf, Schema, StrictInteger, Text, Timestamp, unique
from web.support.pages import Page

blp = Blueprint(
    "api_keys",
    __name__,
    url_prefix="/v1/organisations/<id:organisation_id>/api-keys",
    description="API keys of servers",
)


def is_network(text: str) -> None:
    """Validate a network in CIDR notation."""
    try:
        ip_network(text)
    except ValueError as error:
        raise ValidationError(f"Not a network: {error}.") from error


class NewApiKey(Schema):
    """A key of a server."""

    name = Name(required=True, metadata={"description": "by which people recognise it"})
    role = OneOf(KEY_ROLE, required=True, metadata={"description": "which rights it has"})
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)),
        load_default=list,
        validate=unique,
        metadata={
            "description": "`dangerous`: it may also do what cannot be undone or opens all else "
            "(operations with x-dangerous), if its role may; `test`: it reads the feed of events "
            "in test mode, and not that of the others"
        },
    )
    networks = fields.List(
        Text(validate=[is_network, validate.Length(max=50)]),
        load_default=list,
        validate=[unique, validate.Length(max=20)],
        metadata={
            "description": "where it may be used from, as in 192.0.2.0/24; empty: everywhere"
        },
    )
    expires_at = Timestamp(
        load_default=None,
        allow_none=True,
        metadata={"description": "when it ends; null: not by itself"},
    )


class ApiKey(Answer):
    """A key, without its secret."""

    id = StrictInteger(metadata={"description": "the key's id"})
    name = fields.String(metadata={"description": "by which people recognise it"})
    role = OneOf(KEY_ROLE)
    prefix = fields.String(
        allow_none=True,
        metadata={"description": "how the key begins; null: made before that was kept"},
    )
    scopes = fields.List(fields.String(), metadata={"description": "see NewApiKey"})
    networks = fields.List(
        fields.String(), metadata={"description": "where it may be used from; empty: everywhere"}
    )
    created_at = fields.AwareDateTime()
    used_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "its last use, to the minute; null: none yet"}
    )
    expires_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it ends; null: not by itself"}
    )
    old_until = fields.AwareDateTime(
        allow_none=True,
        metadata={
            "description": "until when the key before the last rotation is good; null: never "
            "rotated"
        },
    )
    revoked_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was revoked; null: it was not"}
    )


class ApiKeyWithSecret(ApiKey):
    """A key that was just made or rotated."""

    key = fields.String(
        metadata={"description": "the bearer token of the server's requests; it is not shown again"}
    )


class Rotation(Schema):
    """How long the key before stays good."""

    overlap_seconds = StrictInteger(
        most=MOST_OVERLAP,
        load_default=86400,
        metadata={"description": "the time to give servers the new key; 0: it ends at once"},
    )


def _scope(conn: Conn, organisation_id: int) -> int:
    """The organisation of the path. Errors: NotFound."""
    return int(organisations.get_organisation(conn, caller().scope, organisation_id)["id"])


@blp.route("")
@needs("keys.read")
@blp.paginated(ApiKey, Page)
def list_api_keys(conn: Conn, page: dict[str, Any], organisation_id: int) -> list[dict[str, Any]]:
    """The organisation's keys, the revoked ones, too."""
    return api_keys.list_keys(conn, _scope(conn, organisation_id), **page)


@blp.route("", methods=["POST"])
@needs("keys.write")
@blp.arguments(
    NewApiKey,
    example={"name": "Shop", "role": "box_office", "networks": ["127.0.0.0/8", "::1/128"]},
)
@blp.idempotent(ApiKeyWithSecret, holds_secret=True)
def add_api_key(conn: Conn, given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Add a key for a server. The answer alone has the key: asked again with the same
    Idempotency-Key, it is 409 `already_answered`."""
    owner = _scope(conn, organisation_id)
    wanted = NewKey(**given, account_id=caller().account_id)
    key_id, key = api_keys.create_key(conn, owner, wanted)
    return api_keys.get_key(conn, owner, key_id) | {"key": key}


@blp.route("/<id:key_id>")
@needs("keys.read")
@blp.response(200, ApiKey)
def get_api_key(organisation_id: int, key_id: int) -> dict[str, Any]:
    """A key, without its secret."""
    with autocommit() as conn:
        return api_keys.get_key(conn, _scope(conn, organisation_id), key_id)


@blp.route("/<id:key_id>/rotation", methods=["POST"])
@needs("keys.write")
@blp.arguments(Rotation, example={"overlap_seconds": 3600})
@blp.idempotent(ApiKeyWithSecret, holds_secret=True)
@blp.conflicts("key_ended")
def rotate_api_key(
    conn: Conn, given: dict[str, int], organisation_id: int, key_id: int
) -> dict[str, Any]:
    """Make the key anew. The one before stays good for the overlap, and the one before that ends.
    Answered once, as addApiKey."""
    owner = _scope(conn, organisation_id)
    overlap = given["overlap_seconds"]
    key = api_keys.rotate_key(conn, owner, key_id, overlap, caller().account_id)
    return api_keys.get_key(conn, owner, key_id) | {"key": key}


@blp.route("/<id:key_id>", methods=["DELETE"])
@needs("keys.write")
@blp.response(204)
@blp.conflicts("key_ended")
def revoke_api_key(organisation_id: int, key_id: int) -> None:
    """Revoke a key for good; it ends at once."""
    with transaction(caller().name) as conn:
        api_keys.revoke_key(conn, _scope(conn, organisation_id), key_id)
