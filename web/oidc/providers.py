"""What is asked of an organisation's identity provider: where a person signs in there, and who it
was (OpenID Connect, the code flow with PKCE)."""

from typing import Any, NamedTuple

from db.accounts.identity_providers import Identity, Provider
from db.runtime.sealing import Sealed, open_to_verify
from db.runtime.settings import settings
from web.oidc.begun import Begun
from web.oidc.calls import calls, check_address, client, get_json
from web.oidc.id_tokens import Claims, read_id_token

DISCOVERY = "/.well-known/openid-configuration"
PATH = "/sign-in/oidc"


class Proven(NamedTuple):
    """Who has signed in at a provider. email: the address, if the provider has proven it."""

    identity: Identity
    email: str | None


def callback_url(organisation_id: int) -> str:
    """Where a provider sends people back to; it has to be registered there."""
    return f"{sign_in_url(organisation_id)}/callback"


def sign_in_url(organisation_id: int) -> str:
    """Where an organisation's staff begin to sign in."""
    return f"{settings().public_url.rstrip('/')}{PATH}/{organisation_id}"


def find_authorization_url(provider: Provider, begun: Begun, *, again: bool) -> str:
    """Where a browser is sent to sign in. again: the provider asks for all of it again. Errors:
    Busy, ProviderAway."""
    id = provider["organisation_id"]
    of = client(client_id=provider["client_id"], redirect_uri=callback_url(id))
    found = calls.do(id, lambda: _discover(of, provider))
    more = {"prompt": "login", "max_age": 0} if again else {}
    url, _ = of.create_authorization_url(
        found["authorization_endpoint"],
        state=begun.state,
        code_verifier=begun.verifier,
        nonce=begun.nonce,
        **more,
    )
    return str(url)


def find_identity(provider: Provider, secret: Sealed, begun: Begun, code: str) -> Proven:
    """Who has signed in: the code that the browser brought is exchanged for a token that says it.
    Errors: Busy, ProviderAway, ProviderRefuses, InvalidIdToken."""
    id = provider["organisation_id"]
    opened = open_to_verify(secret)
    token, keys = calls.do(id, lambda: _redeem(provider, opened, begun, code))
    claims = read_id_token(token, keys, provider, begun.nonce)
    return Proven(claims.identity_of(provider), _proven_email(claims))


def _discover(of: Any, provider: Provider) -> dict[str, Any]:
    """The provider's endpoints. Errors: requests.RequestException, ValueError, KeyError."""
    found = get_json(of, provider["issuer"].rstrip("/") + DISCOVERY)
    if found["issuer"] != provider["issuer"]:
        raise ValueError("the document is of another issuer")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        check_address(found[name])
    return found


def _redeem(provider: Provider, secret: str, begun: Begun, code: str) -> tuple[str, dict[str, Any]]:
    """The id token for a code, and the provider's keys. Errors: as _discover; OAuthError."""
    of = client(
        client_id=provider["client_id"],
        client_secret=secret,
        redirect_uri=callback_url(provider["organisation_id"]),
    )
    found = _discover(of, provider)
    methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    basic = "client_secret_basic" in methods
    of.token_endpoint_auth_method = "client_secret_basic" if basic else "client_secret_post"
    token = of.fetch_token(
        found["token_endpoint"],
        grant_type="authorization_code",
        code=code,
        code_verifier=begun.verifier,
        allow_redirects=False,
    )
    return str(token["id_token"]), get_json(of, found["jwks_uri"])


def _proven_email(claims: Claims) -> str | None:
    """Only a provider that says so in so many words has proven an address."""
    email = claims.email
    return email if claims.email_verified is True and isinstance(email, str) else None
