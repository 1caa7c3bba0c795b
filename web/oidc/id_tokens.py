"""Tokens in which an identity provider says who has signed in."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from db.accounts.identity_providers import Identity, Provider
from db.accounts.memberships import FRESH

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""Those with a public key."""
LEEWAY = 60  # seconds that clocks may differ
MOST_SUBJECT = 255


class InvalidIdToken(Exception):
    """The token is not the provider's, or not for this sign-in."""


class Claims(NamedTuple):
    """What a token says that was verified."""

    subject: str
    email: object
    email_verified: object
    amr: list[Any]
    acr: object
    auth_time: object

    def identity_of(self, provider: Provider) -> Identity:
        at = self._factor_at() if self._has_factor(provider) else None
        return Identity(provider["issuer"], provider["client_id"], self.subject, at)

    def _has_factor(self, provider: Provider) -> bool:
        by_method = any(value in provider["factor_amr"] for value in self.amr)
        return by_method or self.acr in provider["factor_acr"]

    def _factor_at(self) -> datetime:
        """When the person gave it. A provider remembers people: without the time it says nothing of
        the last minutes, and opens what is dangerous to none."""
        now = datetime.now(UTC)
        if isinstance(self.auth_time, int | float) and 0 < self.auth_time < 10**11:
            return min(now, datetime.fromtimestamp(self.auth_time, UTC))
        return now - timedelta(seconds=FRESH)


def read_id_token(token: str, keys: dict[str, Any], provider: Provider, nonce: str) -> Claims:
    """Verify a token: signature, issuer, audience, nonce and expiry. Errors: InvalidIdToken."""
    try:
        decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS)  # type: ignore[arg-type]
        whole = decoded.claims
        CodeIDToken(
            whole,
            decoded.header,
            {
                "iss": {"essential": True, "value": provider["issuer"]},
                "aud": {"essential": True, "value": provider["client_id"]},
            },
            {"nonce": nonce, "client_id": provider["client_id"]},
        ).validate(leeway=LEEWAY)
        return _read_claims(whole)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidIdToken(type(error).__name__) from error


def _read_claims(whole: dict[str, Any]) -> Claims:
    """Errors: ValueError."""
    subject = whole["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT or "\0" in subject:
        raise ValueError("no subject")
    amr = whole.get("amr")
    return Claims(
        subject,
        whole.get("email"),
        whole.get("email_verified"),
        amr if isinstance(amr, list) else [],
        whole.get("acr"),
        whole.get("auth_time"),
    )
