"""Authentication: people by a session's token, which is checked without the database, servers by an
API key."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, cast
from wsgiref.types import WSGIEnvironment

import jwt
import structlog
from flask import g, request

from db.accounts import api_keys
from db.accounts.api_keys import Caller
from db.connections import autocommit
from db.runtime.errors import NotAllowed, NotSignedIn
from web.support.ended_tokens import EndedTokens, current_ended_tokens
from web.support.rate_limits import spend_account, spend_api_key
from web.support.sessions import Session, describe_agent, read_claims, read_token
from web.support.signing import read_own, sign, verify

View = Callable[..., Any]

CODE_LIVES = timedelta(minutes=15)


def make_code(account_id: int, codes_used: int, now: datetime) -> str:
    """Make a sign-in code for an e-mail. now: the database's time, since the process that reads the
    code may have another clock.
    """
    return sign({"sub": str(account_id), "n": codes_used, "exp": now + CODE_LIVES}, "sign-in")


def read_code(code: str) -> tuple[int, int, datetime]:
    """Verify a sign-in code; return its account, count and expiry. It may be used or expired
    already. Errors: NotSignedIn.
    """
    try:
        claims = verify(code, "sign-in", [], check_time=False)
        expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
        return int(claims["sub"]), int(claims.get("n", 0)), expires_at
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise NotSignedIn("This code is wrong or has expired.") from error


def usual_buyer(environ: WSGIEnvironment, ended: EndedTokens) -> Session | None:
    """The session of the buyer who asks, if a token of ours says so and nothing else can. None:
    Flask finds out who asks, or says what is wrong.

    The place for all that may come to say who asks, and for whom: a session's cookie with its CSRF
    token, a language, test mode. Until then a cookie is left to Flask.
    """
    token = token_in(environ.get("HTTP_AUTHORIZATION", ""))
    claims = read_own(token, "buyer")
    if claims is None or "HTTP_COOKIE" in environ:
        return None
    try:
        session = read_claims(claims)
    except (ValueError, TypeError):
        return None
    is_usual = session.organisation_id is None and not ended.has_ended(session)
    return session if is_usual else None


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


def people_only(view: View) -> View:
    """Require a person's session: see session()."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        token = bearer()
        if token.startswith(api_keys.PREFIX):
            raise NotAllowed("Only people can do this, not API keys.")
        found = read_token(token)
        current_ended_tokens().refuse_ended(found)
        g.session = found
        spend_account(found.account_id, verified=found.verified)
        return view(*args, **kwargs)

    return document_security(guarded, {"buyer": []})


def buyers_only(view: View) -> View:
    """Require a buyer's session: see buyer_id()."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if session().organisation_id is not None:
            raise NotAllowed("Only buyers can do this: this session is an organisation's.")
        return view(*args, **kwargs)

    return people_only(guarded)


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


def session() -> Session:
    """The session of the person who asks, behind people_only or buyers_only."""
    return cast(Session, g.session)


def device() -> str:
    """What a new session is called: what the request says about its sender."""
    return describe_agent(request.headers.get("User-Agent", ""))


def buyer_id() -> int:
    """The account's id, behind buyers_only."""
    return session().account_id


def buyer() -> str:
    """The signed-in buyer as role and id, for logs."""
    return f"buyer:{buyer_id()}"


def acting() -> str:
    """The acting principal as role and id, behind buyers_only or organisations_only."""
    return caller().name if "caller" in g else buyer()
