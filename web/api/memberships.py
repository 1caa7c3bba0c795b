"""Memberships as their persons see them: accepted by the code of a mail, and left."""

from typing import Any

from marshmallow import fields

from db.accounts import invitations, memberships
from db.connections import autocommit, transaction
from web.support.auth import own_sessions_only, people_only, session
from web.support.blueprint import Blueprint
from web.support.enumerations import MEMBER_ROLE
from web.support.fields import Answer, OneOf, Schema, StrictInteger, Text

blp = Blueprint("memberships", __name__, url_prefix="/v1/me/memberships", description="Your roles")


class InvitationCode(Schema):
    """The code of an invitation."""

    code = Text(required=True, metadata={"description": "from the mail"})


class Membership(Answer):
    """A role of yours."""

    id = StrictInteger(metadata={"description": "the membership's id"})
    organisation_id = StrictInteger(
        allow_none=True, metadata={"description": "null: the platform, as its operator"}
    )
    organisation = fields.String(
        allow_none=True, metadata={"description": "its name; null: the platform"}
    )
    role = OneOf(MEMBER_ROLE)
    created_at = fields.AwareDateTime()


@blp.route("")
@people_only
@blp.response(200, Membership(many=True))
def list_memberships() -> list[dict[str, Any]]:
    """Your roles. With several, a request names its organisation in Usher-Organisation."""
    with autocommit() as conn:
        return memberships.list_own(conn, session().account_id, session().organisation_id)


@blp.route("", methods=["POST"])
@own_sessions_only
@blp.arguments(InvitationCode, example={"code": "NZxR3bZk9c1oR5nQwQmYw2Hh0pVvD8sT"})
@blp.response(201, Membership(many=True))
@blp.conflicts("address_not_verified", "already_member", "invitation_over")
def accept_invitation(given: dict[str, str]) -> list[dict[str, Any]]:
    """Accept an invitation by the code of its mail, in the account to which it was mailed, whose
    address has to be proven by a sign-in with a mailed code."""
    account_id = session().account_id
    with transaction(f"staff:{account_id}") as conn:
        invitations.accept_invitation(conn, account_id, given["code"])
        return memberships.list_own(conn, account_id, session().organisation_id)


@blp.route("/<id:membership_id>", methods=["DELETE"])
@people_only
@blp.response(204)
@blp.conflicts("last_owner")
def leave_organisation(membership_id: int) -> None:
    """Leave. Your sessions, and the keys and invitations that you made there, end at once."""
    account_id = session().account_id
    with transaction(f"staff:{account_id}") as conn:
        memberships.leave(conn, account_id, session().organisation_id, membership_id)
