"""Tokens of sessions: what they say, and how they are made and read.

An access token is good for an hour and is checked without the database: by its signature, and
against what was ended (web/support/ended_tokens.py). A refresh token gives the next ones; it names
its session and how many were used before it, so it is good once (sql/functions/accounts/
refresh_session.sql). Whether it opens anything, the session's row says.
"""

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import jwt

from db.accounts.sessions import OpenSession
from db.runtime.errors import NotSignedIn
from web.support.fields import BIGGEST_ID
from web.support.signing import sign, verify

ACCESS = timedelta(hours=1)


class Session(NamedTuple):
    """Who asks, as a token says. epoch: of the account's tokens; id: None in tokens from before
    there were sessions; verified: the address was proven when the token was made; organisation_id:
    the session opens that organisation only, and is no buyer's.
    """

    account_id: int
    epoch: int = 0
    id: int | None = None
    verified: bool = False
    organisation_id: int | None = None


def make_token(session: Session, since: datetime) -> dict[str, Any]:
    """Make {token, expires_at}, an access token that counts from `since`."""
    expires_at = since.replace(microsecond=0) + ACCESS
    return {
        "token": sign(claims_of(session) | {"exp": expires_at}, "buyer"),
        "expires_at": expires_at,
    }


def make_tokens(opened: OpenSession) -> dict[str, Any]:
    """Make {token, expires_at, refresh_token, session_id} of a session. The same session makes the
    same tokens until it is refreshed."""
    claims = {"sub": str(opened["id"]), "n": opened["refreshes"], "exp": opened["expires_at"]}
    more = {"refresh_token": sign(claims, "refresh"), "session_id": opened["id"]}
    return make_token(session_of(opened), opened["used_at"]) | more


def session_of(opened: OpenSession) -> Session:
    return Session(
        opened["account_id"],
        opened["epoch"],
        opened["id"],
        opened["verified"],
        opened["organisation_id"],
    )


def claims_of(session: Session) -> dict[str, Any]:
    claims: dict[str, Any] = {"sub": str(session.account_id), "n": session.epoch}
    if session.id is not None:
        claims["sid"] = session.id
    if session.verified:
        claims["v"] = 1
    if session.organisation_id is not None:
        claims["org"] = session.organisation_id
    return claims


def read_token(token: str) -> Session:
    """Verify an access token. It may have been ended. Errors: NotSignedIn."""
    try:
        return read_claims(verify(token, "buyer", []))
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise NotSignedIn("This token is wrong or has expired.") from error


def read_refresh_token(token: str) -> tuple[int, int]:
    """Verify a refresh token: its session's id, and how many were used before it. Errors:
    NotSignedIn."""
    try:
        claims = verify(token, "refresh", ["n"], check_time=False)
        session_id, refreshes = int(claims["sub"]), int(claims["n"])
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise NotSignedIn("This refresh token is wrong.") from error
    return session_id, refreshes


def read_claims(claims: dict[str, Any]) -> Session:
    """Errors: ValueError, TypeError."""
    account_id, epoch, id = int(claims["sub"]), int(claims.get("n", 0)), claims.get("sid")
    if not 0 < account_id <= BIGGEST_ID:
        raise ValueError(claims["sub"])
    verified = "v" in claims or (id is None and epoch > 0)
    return Session(account_id, epoch, id, verified, claims.get("org"))


BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
"""In the order in which they are looked for: each calls itself by those that come later, too."""
NAMES = {"Edg": "Edge", "OPR": "Opera"}
SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")


def describe_agent(user_agent: str) -> str:
    """What a session is called at first, from the request's User-Agent: "Firefox on Linux"."""
    browser = next((NAMES.get(b, b) for b in BROWSERS if f"{b}/" in user_agent), None)
    system = next((system for system in SYSTEMS if system in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    program = re.match(r"[A-Za-z0-9._ -]{1,60}", user_agent)
    return (program[0].strip() if program else "") or "Unknown program"
