"""Sessions of browsers: a cookie that no script can read, and how a request proves that a page of
ours has sent it.

A browser sends the cookie with every request, whichever page makes it. So a request that changes
something and is authenticated by the cookie has to bring what other pages cannot: the header
X-CSRF-Token, which is made from the session's id, and our own Origin. This is decided for each
request, wherever the cookie is read (web/support/auth.py): a request with a bearer token needs
neither, and its cookie is not looked at.

The cookie is signed, and good for an hour without the database, as an access token is. One that is
older is renewed from the session's row, and the answer sets the new one. It is not used up by that:
requests of a page come at the same time, and answers get lost.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from functools import cache
from time import time
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from flask import Response

from db.accounts.sessions import OpenSession
from db.runtime.settings import settings
from web.support.sessions import ACCESS, Session, claims_of, read_claims, session_of
from web.support.signing import key_for, read_own, sign, verify

NAME, REQUEST_NAME = "__Host-usher", "__Host-usher-code"
"""Of a session; and of the secret of a request for a code. With this prefix a browser takes them
from this host alone, over https or from localhost."""
COOKIE = re.compile(rf"(?:^|;) *{NAME}=([A-Za-z0-9._-]+)")
CODE_SECONDS = 600
SAFE = {"GET", "HEAD", "OPTIONS"}
"""Methods that change nothing."""


def set_cookie(answer: Response, opened: OpenSession) -> None:
    """Give the session to the browser that gets the answer."""
    claims = claims_of(session_of(opened))
    fresh_until = int((opened["used_at"] + ACCESS).timestamp())
    value = sign(claims | {"r": fresh_until, "exp": opened["expires_at"]}, "cookie")
    answer.set_cookie(
        NAME, value, expires=opened["expires_at"], secure=True, httponly=True, samesite="Lax"
    )


def remove_cookie(answer: Response) -> None:
    answer.delete_cookie(NAME, secure=True, httponly=True, samesite="Lax")


def set_request_cookie(answer: Response, secret: str) -> None:
    """Give the browser the secret with which the mailed code has to come back."""
    answer.set_cookie(
        REQUEST_NAME, secret, max_age=CODE_SECONDS, secure=True, httponly=True, samesite="Lax"
    )


def remove_request_cookie(answer: Response) -> None:
    answer.delete_cookie(REQUEST_NAME, secure=True, httponly=True, samesite="Lax")


def cookie_in(header: str) -> str:
    """The session's cookie in a Cookie header, or ""."""
    found = COOKIE.search(header)
    return found[1] if found else ""


def read_cookie(value: str) -> tuple[Session, bool]:
    """Verify a cookie: its session, and whether it is fresh. It may have been ended. Errors:
    jwt.InvalidTokenError, ValueError, TypeError."""
    claims = verify(value, "cookie", ["sid", "r"])
    return read_claims(claims), claims["r"] > time()


def read_fresh_cookie(environ: WSGIEnvironment) -> Session | None:
    """The session of the cookie of a request, if the present key has signed it and it is fresh. It
    may have been ended. Errors: ValueError, TypeError."""
    claims = read_own(cookie_in(environ["HTTP_COOKIE"]), "cookie")
    return read_claims(claims) if claims and claims["r"] > time() else None


def comes_from_own_page(environ: WSGIEnvironment, session: Session) -> bool:
    """Whether a request with the session's cookie comes from a page of ours, or changes nothing."""
    if environ["REQUEST_METHOD"] in SAFE:
        return True
    given = environ.get("HTTP_X_CSRF_TOKEN", "").encode(errors="replace")
    keys = (settings().secret_key, *settings().old_keys)
    is_ours = any(hmac.compare_digest(_csrf(session, key), given) for key in keys)
    return is_ours and has_own_origin(environ)


def has_own_origin(environ: WSGIEnvironment) -> bool:
    given: str = environ.get("HTTP_ORIGIN", "")
    return given == origin_of(settings().public_url)


def csrf_token(session: Session) -> str:
    """What pages of a session send as X-CSRF-Token."""
    return _csrf(session, settings().secret_key).decode()


def _csrf(session: Session, secret: str) -> bytes:
    digest = hmac.digest(key_for("csrf", secret), str(session.id).encode(), "sha256")
    return urlsafe_b64encode(digest)[:32]


@cache
def origin_of(url: str) -> str:
    """The origin of a web address, as browsers write it."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"
