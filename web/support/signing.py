"""Keys that are derived from SECRET_KEY, one for each purpose, so that what one of them has signed
is worth nothing elsewhere. OLD_SECRET_KEYS are still believed, so that a key can be changed while
tokens that it has signed are in use."""

import hmac
from functools import cache
from typing import Any, Literal

import jwt

from db.runtime.settings import settings

Purpose = Literal["buyer", "sign-in", "queue", "pass", "address", "payment-result"]
"""A buyer's token, a sign-in code, a queue token, a pass, the hash of an address, the page after a
payment."""


def key_for(purpose: Purpose, secret: str = "") -> bytes:
    """The key for a purpose, derived from a secret; default: the present one."""
    return _derive(secret or settings().secret_key, purpose)


def sign(claims: dict[str, Any], purpose: Purpose) -> str:
    """Sign claims with the present key; `aud` says the purpose, too."""
    return jwt.encode(claims | {"aud": purpose}, key_for(purpose), algorithm="HS256")


def verify(
    token: str, purpose: Purpose, required: list[str], *, check_time: bool = True
) -> dict[str, Any]:
    """The claims of a token that the present key or an old one has signed.

    Errors: jwt.InvalidTokenError.
    """
    options: Any = {"require": ["aud", "exp", "sub", *required], "verify_exp": check_time}
    *others, last = (settings().secret_key, *settings().old_keys)
    for secret in others:
        try:
            return _verify(token, _derive(secret, purpose), purpose, options)
        except jwt.InvalidSignatureError:
            continue
    return _verify(token, _derive(last, purpose), purpose, options)


def _verify(token: str, key: bytes, purpose: Purpose, options: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["HS256"], audience=purpose, options=options
    )
    return claims


@cache
def _derive(secret: str, purpose: Purpose) -> bytes:
    return hmac.digest(secret.encode(), b"usher " + purpose.encode(), "sha256")
