"""A sign-in at an organisation's identity provider that has begun: what the answer is checked
against, in a cookie of the browser that began it, signed, for ten minutes and one use."""

import hmac
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import NamedTuple

import jwt
from flask import Response, request

from web.support.signing import sign, verify

NAME = "__Host-usher-oidc"
GOOD_FOR = timedelta(minutes=10)


class Begun(NamedTuple):
    """state, nonce: come back from the provider; verifier: of PKCE; invitation: the code of one
    that is accepted by this sign-in, or ""."""

    organisation_id: int
    issuer: str
    client_id: str
    state: str
    nonce: str
    verifier: str
    invitation: str


def begin(organisation_id: int, issuer: str, client_id: str, invitation: str) -> Begun:
    drawn = (token_urlsafe(24), token_urlsafe(24), token_urlsafe(48))
    return Begun(organisation_id, issuer, client_id, *drawn, invitation)


def give_begun(answer: Response, begun: Begun) -> None:
    """Bind the sign-in to the browser that gets the answer."""
    claims = begun._asdict() | {"sub": str(begun.organisation_id)}
    value = sign(claims | {"exp": datetime.now(UTC) + GOOD_FOR}, "oidc")
    seconds = int(GOOD_FOR.total_seconds())
    answer.set_cookie(NAME, value, max_age=seconds, secure=True, httponly=True, samesite="Lax")


def take_begun(answer: Response) -> None:
    """It is used up, whatever became of it."""
    answer.delete_cookie(NAME, secure=True, httponly=True, samesite="Lax")


def read_begun(organisation_id: int, state: str) -> Begun | None:
    """The sign-in that this browser began there, if its state came back."""
    try:
        claims = verify(request.cookies.get(NAME, ""), "oidc", list(Begun._fields))
        begun = Begun(*(claims[name] for name in Begun._fields))
    except (jwt.InvalidTokenError, ValueError, KeyError):
        return None
    is_same = hmac.compare_digest(begun.state.encode(), state.encode(errors="replace"))
    return begun if is_same and begun.organisation_id == organisation_id else None
