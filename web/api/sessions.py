"""Sessions of the person who asks."""

from typing import Any

from marshmallow import fields

from db.accounts import sessions
from db.connections import Conn, autocommit, transaction
from db.runtime.errors import NotAllowed
from web.support.auth import own_cookie, people_only, session, take_cookie
from web.support.blueprint import Blueprint
from web.support.cookies import csrf_token
from web.support.enumerations import AUTHENTICATED_BY, CARRIER
from web.support.fields import Answer, Name, OneOf, QueryBoolean, Schema, StrictInteger

blp = Blueprint("sessions", __name__, url_prefix="/v1/me", description="Your sessions")


class NewName(Schema):
    """What a session is called."""

    name = Name(required=True, metadata={"description": "as you will recognise it"})


class CurrentSession(Answer):
    """The session of a request."""

    id = StrictInteger(
        allow_none=True, metadata={"description": "null: of a version without sessions"}
    )
    account_id = StrictInteger(metadata={"description": "the account's id"})
    csrf_token = fields.String(
        allow_none=True,
        metadata={"description": "what pages send as X-CSRF-Token; null: there was no cookie"},
    )


class Which(Schema):
    """Which sessions end."""

    keep_this = QueryBoolean(
        load_default=False, metadata={"description": "all but the one of this request"}
    )


class ListedSession(Answer):
    """A sign-in that has not ended."""

    id = StrictInteger(metadata={"description": "the session's id"})
    name = fields.String(metadata={"description": "at first the browser or program that signed in"})
    carrier = OneOf(CARRIER, metadata={"description": "what has the session"})
    authenticated_by = OneOf(AUTHENTICATED_BY, metadata={"description": "how you signed in"})
    created_at = fields.AwareDateTime(metadata={"description": "when you signed in"})
    used_at = fields.AwareDateTime(
        metadata={"description": "when it was used last, to the hour: when it was refreshed"}
    )
    expires_at = fields.AwareDateTime(
        metadata={"description": "when it ends, if it is not used before"}
    )
    is_current = fields.Boolean(metadata={"description": "whether this request is of it"})


@blp.route("/session")
@people_only
@blp.response(200, CurrentSession)
def get_session() -> dict[str, Any]:
    """The session of this request."""
    own = session()
    csrf = csrf_token(own) if own_cookie() else None
    return {"id": own.id, "account_id": own.account_id, "csrf_token": csrf}


@blp.route("/sessions")
@people_only
@blp.paginated(ListedSession)
def list_sessions(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Your sessions, the latest first."""
    own = session()
    rows = sessions.list_sessions(
        conn,
        own.account_id,
        own.organisation_id,
        limit=page["limit"],
        starting_after=page["starting_after"] or None,
    )
    return [_tell(row) for row in rows]


@blp.route("/sessions/<id:session_id>", methods=["PATCH"])
@people_only
@blp.arguments(NewName, example={"name": "The laptop at home"})
@blp.response(200, ListedSession)
def name_session(given: dict[str, Any], session_id: int) -> dict[str, Any]:
    """Give one of your sessions a name."""
    own = session()
    with autocommit() as conn:
        row = sessions.name_session(
            conn, own.account_id, own.organisation_id, session_id, given["name"]
        )
    return _tell(row)


@blp.route("/sessions/<id:session_id>", methods=["DELETE"])
@people_only
@blp.response(204)
def end_session(session_id: int) -> None:
    """End one of your sessions, or this one, to sign out. Its tokens end within ten seconds."""
    own = session()
    with autocommit() as conn:
        sessions.end_session(conn, own.account_id, own.organisation_id, session_id)
    if session_id == own.id:
        take_cookie()


@blp.route("/sessions", methods=["DELETE"])
@people_only
@blp.arguments(Which, location="query")
@blp.response(204)
def end_sessions(given: dict[str, Any]) -> None:
    """End all of your sessions. Their tokens end within ten seconds."""
    own = session()
    if own.organisation_id is not None:
        raise NotAllowed("A session of an organisation ends only itself.")
    with transaction() as conn:
        sessions.end_sessions(conn, own.account_id, own.id if given["keep_this"] else None)
    if not given["keep_this"]:
        take_cookie()


def _tell(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"is_current": row["id"] == session().id}
