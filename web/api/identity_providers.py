"""Where an organisation's staff sign in: its identity provider (OpenID Connect)."""

from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from db.accounts import identity_providers, organisations
from db.accounts.identity_providers import Provider
from db.connections import Conn, autocommit, transaction
from web.oidc.calls import check_address
from web.oidc.providers import callback_url, sign_in_url
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import Answer, Line, Schema, Text, unique

blp = Blueprint(
    "identity_providers",
    __name__,
    url_prefix="/v1/organisations/<id:organisation_id>/identity-provider",
    description="Sign-in of staff by an organisation's own provider",
)


def is_issuer(text: str) -> None:
    """Validate an issuer, as OpenID Connect Discovery has them."""
    try:
        parts = urlsplit(check_address(text))
        is_plain = parts.hostname and "@" not in parts.netloc and parts.port != 0
        if not is_plain or parts.query or parts.fragment or not text.isascii() or " " in text:
            raise ValueError
    except ValueError as error:
        raise ValidationError("Must be an https address without a query.") from error


def values(description: str) -> Any:
    """A list of values of a claim."""
    return fields.List(
        Line(most=200),
        load_default=list,
        validate=[unique, validate.Length(max=20)],
        metadata={"description": description},
    )


class NewIdentityProvider(Schema):
    """A provider, and Usher as its client."""

    issuer = Text(
        most=500,
        required=True,
        validate=is_issuer,
        metadata={"description": "as the provider's discovery document has it, to the letter"},
    )
    client_id = Line(most=200, required=True, metadata={"description": "of Usher at the provider"})
    client_secret = Line(
        most=1000,
        required=True,
        metadata={"description": "of Usher at the provider; it is never shown again"},
    )
    factor_amr = values("values of the claim `amr` that count as a second factor, such as `mfa`")
    factor_acr = values("values of the claim `acr` that count as a second factor")


class IdentityProvider(Answer):
    """An organisation's provider, without the secret."""

    issuer = fields.String(metadata={"description": "the provider's name for itself"})
    client_id = fields.String(metadata={"description": "of Usher at the provider"})
    factor_amr = fields.List(
        fields.String(), metadata={"description": "values of `amr` that count as a second factor"}
    )
    factor_acr = fields.List(
        fields.String(), metadata={"description": "values of `acr` that count as a second factor"}
    )
    changed_at = fields.AwareDateTime(metadata={"description": "when it was set last"})
    redirect_uri = fields.String(
        metadata={"description": "to be registered at the provider, for the code flow"}
    )
    sign_in_url = fields.String(
        metadata={
            "description": "where members begin to sign in; with ?again=1 the provider asks for "
            "the second factor again, which dangerous acts need"
        }
    )


@blp.route("")
@needs("identity_provider.read")
@blp.response(200, IdentityProvider)
def get_identity_provider(organisation_id: int) -> dict[str, Any]:
    """The organisation's provider. 404 when it has none."""
    with autocommit() as conn:
        return shown(identity_providers.get_provider(conn, _scope(conn, organisation_id)))


@blp.route("", methods=["PUT"])
@needs("identity_provider.write")
@blp.arguments(
    NewIdentityProvider,
    example={
        "issuer": "https://login.opera.example",
        "client_id": "usher",
        "client_secret": "s3cret-of-the-opera",
        "factor_amr": ["mfa"],
    },
)
@blp.response(200, IdentityProvider)
@blp.conflicts("no_encryption_keys")
def set_identity_provider(given: dict[str, Any], organisation_id: int) -> dict[str, Any]:
    """Set the provider, in place of one before. Members are bound to it by invitations that they
    accept with it; it opens this organisation alone. Sessions that the one before has opened end,
    and another issuer's identities mean nothing. It is asked at the first sign-in."""
    secret = given.pop("client_secret")
    with transaction(caller().name) as conn:
        scope = _scope(conn, organisation_id)
        return shown(identity_providers.set_provider(conn, scope, given, secret))


@blp.route("", methods=["DELETE"])
@needs("identity_provider.write")
@blp.response(204)
def remove_identity_provider(organisation_id: int) -> None:
    """Sign staff in without it. Sessions that it has opened end."""
    with transaction(caller().name) as conn:
        identity_providers.remove_provider(conn, _scope(conn, organisation_id))


def shown(provider: Provider) -> dict[str, Any]:
    """A provider as the API shows it."""
    id = provider["organisation_id"]
    return provider | {"redirect_uri": callback_url(id), "sign_in_url": sign_in_url(id)}


def _scope(conn: Conn, organisation_id: int) -> int:
    """The organisation of the path. Errors: NotFound."""
    return int(organisations.get_organisation(conn, caller().scope, organisation_id)["id"])
