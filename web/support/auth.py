"""Authentication: buyers by a token that is checked without the database, servers by an API key."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, NamedTuple, cast
from wsgiref.types import WSGIEnvironment

import jwt
import structlog
from flask import g, request

from db.accounts import api_keys
from db.accounts.api_keys import Caller
from db.connections import autocommit
from db.runtime.errors import NotAllowed, NotSignedIn
from web.support.fields import BIGGEST_ID
from web.support.rate_limits import spend_account, spend_api_key
from web.support.signing import Purpose, read_own, sign, verify
from web.support.token_epochs import TokenEpochs, current_epochs

View = Callable[..., Any]

SIGNED_IN = timedelta(days=30)
CODE_LIVES = timedelta(minutes=15)


class Signed(NamedTuple):
    """The content of a token or code. n: a token's epoch; a code's count of codes used before."""

    account_id: int
    n: int


def make_token(account_id: int, epoch: int = 0) -> dict[str, Any]:
    """Make {token, expires_at} for a buyer."""
    expires_at = datetime.now(UTC).replace(microsecond=0) + SIGNED_IN
    return {
        "token": _sign(Signed(account_id, epoch), "buyer", expires_at),
        "expires_at": expires_at,
    }


def make_code(account_id: int, codes_used: int, now: datetime) -> str:
    """Make a sign-in code for an e-mail. now: the database's time, since the process that reads the
    code may have another clock.
    """
    return _sign(Signed(account_id, codes_used), "sign-in", now + CODE_LIVES)


def _sign(signed: Signed, audience: Purpose, expires_at: datetime) -> str:
    return sign({"sub": str(signed.account_id), "n": signed.n, "exp": expires_at}, audience)


def read_token(token: str) -> Signed:
    """Verify a buyer's token. It may have been ended: see web/support/token_epochs.py. Errors:
    NotSignedIn."""
    return _read(token, "buyer")[0]


def read_code(code: str) -> tuple[Signed, datetime]:
    """Verify a sign-in code; return it with its expiry. It may be used or expired already. Errors:
    NotSignedIn.
    """
    signed, expires_at = _read(code, "sign-in", check_time=False)
    return signed, datetime.fromtimestamp(expires_at, UTC)


def _read(token: str, audience: Purpose, *, check_time: bool = True) -> tuple[Signed, int]:
    try:
        claims = verify(token, audience, [], check_time=check_time)
        return _signed(claims), int(claims["exp"])
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise NotSignedIn("This token is wrong or has expired.") from error


def _signed(claims: dict[str, Any]) -> Signed:
    """Errors: ValueError, TypeError."""
    signed = Signed(int(claims["sub"]), int(claims.get("n", 0)))
    if not 0 < signed.account_id <= BIGGEST_ID:
        raise ValueError(claims["sub"])
    return signed


def usual_buyer(environ: WSGIEnvironment, epochs: TokenEpochs) -> Signed | None:
    """The buyer who asks, if a token of ours says so and nothing else can. None: Flask finds out
    who asks, or says what is wrong.

    The place for all that may come to say who asks, and for whom: a session's cookie with its CSRF
    token, a language, test mode. Until then a cookie is left to Flask.
    """
    token = token_in(environ.get("HTTP_AUTHORIZATION", ""))
    claims = read_own(token, "buyer")
    if claims is None or "HTTP_COOKIE" in environ:
        return None
    try:
        signed = _signed(claims)
    except (ValueError, TypeError):
        return None
    return None if epochs.has_ended(signed.account_id, signed.n) else signed


def token_in(header: str) -> str:
    """The token of an Authorization header, or ""; the scheme's case is ignored."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def bearer(missing: str | None = None) -> str:
    """The token of the request. missing: the message if it has none. Errors: NotSignedIn."""
    token = token_in(request.headers.get("Authorization", ""))
    if not token:
        raise NotSignedIn(missing)
    return token


NEEDS_KEY = "This needs an API key as the bearer token: operators make them with the console."


def buyers_only(view: View) -> View:
    """Require a signed-in buyer: sets g.buyer_id."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        token = bearer()
        if token.startswith(api_keys.PREFIX):
            raise NotAllowed("Only buyers can do this, not API keys.")
        g.buyer_id, epoch = read_token(token)
        current_epochs().refuse_ended(g.buyer_id, epoch)
        spend_account(g.buyer_id, verified=epoch > 0)
        return view(*args, **kwargs)

    return document_security(guarded, {"buyer": []})


def organisations_only(view: View) -> View:
    """Require an organiser's or operator's API key: see caller()."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        token = bearer(NEEDS_KEY)
        if not token.startswith(api_keys.PREFIX):
            raise NotAllowed("Only an organiser's API key can do this.")
        g.caller = _find_caller(token)
        spend_api_key(g.caller.id)
        return view(*args, **kwargs)

    return document_security(guarded, {"api_key": []})


def operators_only(view: View) -> View:
    """Require an operator's API key: see caller()."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if caller().scope is not None:
            raise NotAllowed("Only an operator's API key can do this.")
        return view(*args, **kwargs)

    return document_security(organisations_only(guarded), {"operator_key": []})


def _find_caller(key: str) -> Caller:
    with autocommit() as conn:
        found = api_keys.find_caller(conn, key)
    if found is None:
        raise NotSignedIn("This API key is wrong or was revoked.")
    structlog.contextvars.bind_contextvars(caller=found.name)
    return found


def document_security(view: View, *ways: dict[str, list[str]]) -> View:
    """Name the ways to sign a request in the OpenAPI document: one of them has to be given."""
    doc = deepcopy(getattr(view, "_apidoc", {}))
    doc.setdefault("manual_doc", {})["security"] = list(ways)
    view._apidoc = doc  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """The API key's owner, behind organisations_only."""
    return cast(Caller, g.caller)


def caller_if_any() -> Caller | None:
    """The API key's owner, if a key was given, on public routes."""
    token = token_in(request.headers.get("Authorization", ""))
    return _find_caller(token) if token.startswith(api_keys.PREFIX) else None


def buyer_id() -> int:
    """The account's id, behind buyers_only."""
    return cast(int, g.buyer_id)


def buyer() -> str:
    """The signed-in buyer as role and id, for logs."""
    return f"buyer:{g.buyer_id}"


def acting() -> str:
    """The acting principal as role and id, behind buyers_only or organisations_only."""
    return caller().name if "caller" in g else buyer()
