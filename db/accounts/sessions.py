"""Sessions: sign-ins of a person, each with a name, until it ends.

organisation_id: an identity provider of that organisation said who it is. Such sessions and those
that a person has alone do not see each other.
"""

from datetime import datetime
from typing import Any, TypedDict, cast

from db.connections import Conn, many, maybe
from db.queries import load
from db.runtime.errors import NotFound, NotSignedIn

sql = load("accounts/sessions")


class OpenSession(TypedDict):
    """A session, as tokens need it. refreshes: how many refresh tokens were used; used_at: from
    when its access token counts; epoch: of the account's tokens; verified: the address was proven.
    """

    id: int
    account_id: int
    organisation_id: int | None
    refreshes: int
    used_at: datetime
    expires_at: datetime
    epoch: int
    verified: bool


class EndedReading(TypedDict):
    """A session that has ended, and when."""

    id: int
    ended_at: datetime


def open_session(
    conn: Conn,
    account_id: int,
    authenticated_by: str,
    name: str,
    *,
    epoch: int = 0,
    password_hash: str | None = None,
    carrier: str = "bearer",
    organisation_id: int | None = None,
    second_factor_at: datetime | None = None,
) -> OpenSession:
    """Sign a person in. epoch: of the account's tokens when the person proved who it is;
    password_hash: what was proven by it; second_factor_at: when the organisation's provider was
    given a second factor. Errors: NotSignedIn, also if the account was closed, blocked or changed
    since."""
    values = {
        "account_id": account_id,
        "authenticated_by": authenticated_by,
        "name": name,
        "epoch": epoch,
        "password_hash": password_hash,
        "carrier": carrier,
        "organisation_id": organisation_id,
        "second_factor_at": second_factor_at,
    }
    row = maybe(conn.execute(sql.open_session, values))
    if row is None:
        raise NotSignedIn("The account has just changed: sign in again.")
    return cast(OpenSession, row)


def refresh_session(conn: Conn, session_id: int, refreshes: int) -> OpenSession | None:
    """Use a refresh token, which contains the count `refreshes`. None: it opens nothing any more;
    the session may have ended by this, which has to be committed."""
    values = {"session_id": session_id, "refreshes": refreshes}
    return cast(OpenSession | None, maybe(conn.execute(sql.refresh_session, values)))


def renew_session(conn: Conn, session_id: int) -> OpenSession | None:
    """Renew a session that a browser's cookie has. None: it has ended."""
    row = maybe(conn.execute(sql.renew_session, {"session_id": session_id}))
    return cast(OpenSession | None, row)


def list_sessions(
    conn: Conn,
    account_id: int,
    organisation_id: int | None,
    *,
    limit: int,
    starting_after: int | None = None,
) -> list[dict[str, Any]]:
    """A person's sessions, the latest first: [{id, name, carrier, authenticated_by, created_at,
    used_at, expires_at}]."""
    values = _own(account_id, organisation_id)
    values |= {"limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_sessions, values))


def name_session(
    conn: Conn, account_id: int, organisation_id: int | None, session_id: int, name: str
) -> dict[str, Any]:
    """Rename a session, and return it as list_sessions does. Errors: NotFound."""
    values = _own(account_id, organisation_id) | {"session_id": session_id, "name": name}
    row = maybe(conn.execute(sql.name_session, values))
    if row is None:
        raise NotFound
    return row


def end_session(conn: Conn, account_id: int, organisation_id: int | None, session_id: int) -> None:
    """End a session; it may have ended before. Errors: NotFound."""
    values = _own(account_id, organisation_id) | {"session_id": session_id}
    if maybe(conn.execute(sql.end_session, values)) is None:
        raise NotFound


def end_sessions(conn: Conn, account_id: int, except_id: int | None = None) -> None:
    """End all sessions of an account, but for one of them, if it is named."""
    conn.execute(sql.end_sessions, {"account_id": account_id, "except_id": except_id})


def list_ended(conn: Conn, since: datetime | None) -> list[EndedReading]:
    """Sessions that ended since then, of which access tokens may still live."""
    return cast(list[EndedReading], many(conn.execute(sql.list_ended, {"since": since})))


def _own(account_id: int, organisation_id: int | None) -> dict[str, Any]:
    return {"account_id": account_id, "organisation_id": organisation_id}
