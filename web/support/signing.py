"""Keys that are derived from SECRET_KEY, one for each purpose, so that what one of them has signed
is worth nothing elsewhere. SECRET_KEY_FALLBACKS are still believed, so that a key can be changed
while tokens that it has signed are in use.

What is signed are JWTs with one header. So what is read most, a token that the present key has
signed and that has not expired, is signed and read by a few lines here, a fifth of the library's
time. The library reads all others, and says what is wrong with them.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from datetime import datetime
from functools import cache
from time import time
from typing import Any, Literal

import jwt
import orjson

from db.runtime.settings import settings

Purpose = Literal[
    "buyer",
    "refresh",
    "cookie",
    "csrf",
    "queue",
    "pass",
    "address",
    "payment-result",
    "oidc",
    "passkey",
    "new-passkey",
]
"""An access token, a refresh token, a browser's cookie and what its pages prove themselves by, a
queue token, a pass, the hash of an address, the page after a payment, a sign-in that has begun at
an organisation's identity provider, what a passkey or a new one has to answer."""


def key_for(purpose: Purpose, secret: str = "") -> bytes:
    """The key for a purpose, derived from a secret; default: the present one."""
    return _derive(secret or settings().secret_key, purpose)


HEADER = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=") + b"."
encode_json = json.JSONEncoder(separators=(",", ":")).encode  # the bytes that the library signs
FOREIGN = {"iat", "iss", "jti", "nbf"}
"""Claims that mean something to the library, and that no token of ours has."""


def sign(claims: dict[str, Any], purpose: Purpose) -> str:
    """Sign claims with the present key; `aud` says the purpose, too. `exp` is a datetime."""
    exp: datetime = claims["exp"]
    whole = claims | {"exp": int(exp.timestamp()), "aud": purpose}
    signed = HEADER + _encode(encode_json(whole).encode())
    return (signed + b"." + _signature(signed, purpose)).decode()


def verify(
    token: str, purpose: Purpose, required: list[str], *, check_time: bool = True
) -> dict[str, Any]:
    """The claims of a token that the present key or an old one has signed.

    Errors: jwt.InvalidTokenError.
    """
    claims = read_own(token, purpose)
    if claims is not None and all(claims.get(name) is not None for name in required):
        return claims
    options: Any = {"require": ["aud", "exp", "sub", *required], "verify_exp": check_time}
    *others, last = (settings().secret_key, *settings().old_keys)
    for secret in others:
        try:
            return _verify(token, _derive(secret, purpose), purpose, options)
        except jwt.InvalidSignatureError:
            continue
    return _verify(token, _derive(last, purpose), purpose, options)


def read_own(token: str, purpose: Purpose) -> dict[str, Any] | None:
    """The claims of a token that `sign` has made with the present key, and that has not expired.
    None: the library finds out what else it is."""
    signed, dot, signature = token.encode(errors="replace").rpartition(b".")
    if not (dot and signed.startswith(HEADER)):
        return None
    if not hmac.compare_digest(_signature(signed, purpose), signature):
        return None
    claims = _decode(signed[len(HEADER) :])
    return claims if claims and _is_own(claims, purpose) else None


def _is_own(claims: dict[str, Any], purpose: Purpose) -> bool:
    """Whether the claims are as `sign` writes them, and have not expired."""
    exp, sub = claims.get("exp"), claims.get("sub")
    is_signed_here = claims.get("aud") == purpose and isinstance(sub, str)
    return is_signed_here and not FOREIGN & claims.keys() and type(exp) is int and exp > time()


def _signature(signed: bytes, purpose: Purpose) -> bytes:
    """Signed with a copy of a begun HMAC: `hmac.digest` looks the hash up each time, and gives the
    interpreter to another thread meanwhile."""
    mac = _begun(key_for(purpose)).copy()
    mac.update(signed)
    return _encode(mac.digest())


@cache
def _begun(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _encode(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def _decode(payload: bytes) -> dict[str, Any] | None:
    try:
        claims = orjson.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except (Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def _verify(token: str, key: bytes, purpose: Purpose, options: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["HS256"], audience=purpose, options=options
    )
    return claims


@cache
def _derive(secret: str, purpose: Purpose) -> bytes:
    return hmac.digest(secret.encode(), b"usher " + purpose.encode(), "sha256")
