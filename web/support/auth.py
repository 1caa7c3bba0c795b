"""Authentication of people, by a session's token that is checked without the database. Who acts for
an organisation: web/support/callers.py."""

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any, cast
from wsgiref.types import WSGIEnvironment

import jwt
from flask import Response, after_this_request, g, request

from db.accounts import api_keys, sessions
from db.accounts.callers import Caller
from db.accounts.sessions import OpenSession
from db.connections import autocommit
from db.runtime.errors import NotAllowed, NotSignedIn
from web.support.cookies import (
    comes_from_own_page,
    cookie_in,
    read_cookie,
    read_fresh_cookie,
    remove_cookie,
    set_cookie,
)
from web.support.ended_tokens import EndedTokens, current_ended_tokens
from web.support.rate_limits import spend_account
from web.support.sessions import (
    Session,
    describe_agent,
    read_claims,
    read_token,
    session_of,
)
from web.support.signing import read_own

View = Callable[..., Any]


def usual_buyer(environ: WSGIEnvironment, ended: EndedTokens) -> Session | None:
    """The session of the buyer who asks, if a token or a cookie of ours says so, is not due to be
    renewed, and comes from where it should. None: Flask finds out who asks, or says what is wrong.

    The place for all that may come to say who asks, and for whom: a language, test mode.
    """
    try:
        session = _usual_session(environ)
    except (ValueError, TypeError):
        return None
    if session is None or session.organisation_id is not None or ended.has_ended(session):
        return None
    return session


def _usual_session(environ: WSGIEnvironment) -> Session | None:
    """Errors: ValueError, TypeError."""
    if "HTTP_AUTHORIZATION" in environ:
        claims = read_own(token_in(environ["HTTP_AUTHORIZATION"]), "buyer")
        return read_claims(claims) if claims else None
    session = read_fresh_cookie(environ) if "HTTP_COOKIE" in environ else None
    if session and not comes_from_own_page(environ, session):
        return None
    return session


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


def people_only(view: View) -> View:
    """Require a person's session: see session()."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        identify_person()
        return view(*args, **kwargs)

    return document_security(guarded, {"buyer": []}, {"session_cookie": []})


def identify_person() -> Session:
    """The session of the person who asks, whose request is counted: see session(). Errors:
    NotSignedIn, NotAllowed."""
    found = find_session()
    g.session = found
    spend_account(found.account_id, verified=found.verified)
    return found


def find_session() -> Session:
    """The session of the person who asks. A bearer token wins over a browser's cookie. Errors:
    NotSignedIn, NotAllowed."""
    if "Authorization" not in request.headers and (cookie := own_cookie()):
        return _find_session_of_cookie(cookie)
    token = bearer()
    if token.startswith(api_keys.PREFIX):
        raise NotAllowed("Only people can do this, not API keys.")
    found = read_token(token)
    current_ended_tokens().refuse_ended(found)
    return found


def _find_session_of_cookie(cookie: str) -> Session:
    """The session of a browser's cookie, which is renewed if it is due. Errors: NotSignedIn,
    NotAllowed."""
    try:
        found, is_fresh = read_cookie(cookie)
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise NotSignedIn("This cookie is wrong or has expired: sign in.") from error
    current_ended_tokens().refuse_ended(found)
    if not comes_from_own_page(request.environ, found):
        raise NotAllowed(
            "With a cookie this needs the header X-CSRF-Token, and a page of this site as Origin."
        )
    if is_fresh or found.id is None:
        return found
    with autocommit() as conn:
        renewed = sessions.renew_session(conn, found.id)
    if renewed is None:
        raise NotSignedIn("This session was ended: sign in again.")
    give_cookie(renewed)
    return session_of(renewed)


def own_cookie() -> str:
    """The session's cookie of this request, or ""."""
    return cookie_in(request.headers.get("Cookie", ""))


def give_cookie(opened: OpenSession) -> None:
    """Set the session's cookie in the answer to this request."""

    @after_this_request
    def give(answer: Response) -> Response:
        set_cookie(answer, opened)
        return answer


def take_cookie() -> None:
    """Remove the session's cookie in the answer to this request, if it came with one."""
    if own_cookie():

        @after_this_request
        def take(answer: Response) -> Response:
            remove_cookie(answer)
            return answer


def buyers_only(view: View) -> View:
    """Require a buyer's session: see buyer_id()."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if session().organisation_id is not None:
            raise NotAllowed("Only buyers can do this: this session is an organisation's.")
        return view(*args, **kwargs)

    return people_only(guarded)


def own_sessions_only(view: View) -> View:
    """Require a session that the person has opened alone: one that an organisation's identity
    provider has opened changes nothing of the account, and nothing in other organisations."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if session().organisation_id is not None:
            raise NotAllowed("Sign in by yourself for this: this session is an organisation's.")
        return view(*args, **kwargs)

    return people_only(guarded)


def document_security(view: View, *ways: dict[str, list[str]]) -> View:
    """Name the ways to sign a request in the OpenAPI document: one of them has to be given."""
    doc = deepcopy(getattr(view, "_apidoc", {}))
    doc.setdefault("manual_doc", {})["security"] = list(ways)
    view._apidoc = doc  # type: ignore[attr-defined]
    return view


def session() -> Session:
    """The session of the person who asks, behind people_only, own_sessions_only or buyers_only."""
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
    """The acting principal as role and id, behind buyers_only or needs()."""
    return cast(Caller, g.caller).name if "caller" in g else buyer()


def principal() -> str:
    """Whose Idempotency-Key the request has, behind buyers_only or needs()."""
    return cast(Caller, g.caller).principal if "caller" in g else buyer()
