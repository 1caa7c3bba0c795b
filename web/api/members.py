"""Members of an organisation and invitations into it, as those see them who may change them."""

from datetime import datetime
from typing import Any

from marshmallow import fields

from db.accounts import invitations, memberships, organisations, second_factors
from db.accounts.audit_log import audit
from db.connections import Conn, transaction
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import STAFF_ROLE
from web.support.fields import Answer, Email, OneOf, Schema, StrictInteger

blp = Blueprint(
    "members",
    __name__,
    url_prefix="/v1/organisations/<id:organisation_id>",
    description="People who work for an organisation",
)


class NewRole(Schema):
    """The role that a person is to have."""

    role = OneOf(STAFF_ROLE, required=True)


class Member(Answer):
    """A person with a role in the organisation."""

    id = StrictInteger(metadata={"description": "the membership's id"})
    account_id = StrictInteger(metadata={"description": "the person's account"})
    name = fields.String(metadata={"description": "the person's name"})
    email = fields.String(metadata={"description": "the person's address"})
    role = OneOf(STAFF_ROLE)
    second_factor = fields.Boolean(metadata={"description": "whether one is in use"})
    created_at = fields.AwareDateTime()


class NewInvitation(NewRole):
    """An invitation, by mail."""

    email = Email(required=True, metadata={"description": "who is invited", "format": "email"})


class Invitation(Answer):
    """An invitation that is open."""

    id = StrictInteger(metadata={"description": "the invitation's id"})
    email = fields.String(metadata={"description": "who was invited"})
    role = OneOf(STAFF_ROLE)
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime(metadata={"description": "until when it can be accepted"})


class Reset(Answer):
    """The reset of a second factor that was asked for."""

    due_at = fields.AwareDateTime(
        metadata={"description": "from when the person can set up another one, unless it is given"}
    )


def _owner(conn: Conn, organisation_id: int) -> int:
    """The organisation of the path. Errors: NotFound."""
    return int(organisations.get_organisation(conn, caller().scope, organisation_id)["id"])


@blp.route("/members")
@needs("members.read")
@blp.paginated(Member, reads="members read")
def list_members(conn: Conn, page: dict[str, int], organisation_id: int) -> list[dict[str, Any]]:
    """The organisation's members."""
    return memberships.list_members(conn, _owner(conn, organisation_id), **page)


@blp.route("/members/<id:membership_id>")
@needs("members.read")
@blp.response(200, Member)
def get_member(organisation_id: int, membership_id: int) -> dict[str, Any]:
    """A member."""
    with transaction(caller().name) as conn:
        member = memberships.get_member(conn, _owner(conn, organisation_id), membership_id)
        audit(
            conn,
            "member read",
            None,
            {"membership_id": membership_id},
            organisation_id=organisation_id,
            account_id=member["account_id"],
        )
        return member


@blp.route("/members/<id:membership_id>", methods=["PATCH"])
@needs("members.write")
@blp.arguments(NewRole, example={"role": "finance"})
@blp.response(200, Member)
@blp.conflicts("last_owner")
def change_member(
    given: dict[str, str], organisation_id: int, membership_id: int
) -> dict[str, Any]:
    """Give a member another role, from the next request on."""
    with transaction(caller().name) as conn:
        owner = _owner(conn, organisation_id)
        return memberships.change_role(conn, owner, membership_id, given["role"])


@blp.route("/members/<id:membership_id>", methods=["DELETE"])
@needs("members.write")
@blp.response(204)
@blp.conflicts("last_owner")
def remove_member(organisation_id: int, membership_id: int) -> None:
    """Remove a member, whose sessions, keys and invitations end at once."""
    with transaction(caller().name) as conn:
        memberships.remove_member(conn, _owner(conn, organisation_id), membership_id)


@blp.route("/members/<id:membership_id>/second-factor-reset", methods=["POST"])
@needs("members.write")
@blp.response(202, Reset)
@blp.conflicts("no_second_factor", "other_memberships", "reset_requested")
def reset_member_factor(organisation_id: int, membership_id: int) -> dict[str, datetime]:
    """Reset a member's lost second factor, a day from now. The member is told by mail, and stops
    the reset by giving the factor."""
    with transaction(caller().name) as conn:
        owner = _owner(conn, organisation_id)
        account_id = memberships.get_member(conn, owner, membership_id)["account_id"]
        return {"due_at": second_factors.request_reset(conn, caller().scope, account_id)}


@blp.route("/invitations")
@needs("members.read")
@blp.paginated(Invitation, reads="invitations read")
def list_invitations(
    conn: Conn, page: dict[str, int], organisation_id: int
) -> list[dict[str, Any]]:
    """Invitations that are open."""
    return invitations.list_invitations(conn, _owner(conn, organisation_id), **page)


@blp.route("/invitations", methods=["POST"])
@needs("members.write")
@blp.arguments(NewInvitation, example={"email": "ben@example.org", "role": "box_office"})
@blp.idempotent(Invitation)
def invite_member(conn: Conn, given: dict[str, str], organisation_id: int) -> dict[str, Any]:
    """Invite a person by mail. An earlier invitation of this address ends."""
    owner = _owner(conn, organisation_id)
    invitation_id = invitations.invite(
        conn, owner, given["email"], given["role"], caller().account_id
    )
    return invitations.get_invitation(conn, owner, invitation_id)


@blp.route("/invitations/<id:invitation_id>", methods=["DELETE"])
@needs("members.write")
@blp.response(204)
def withdraw_invitation(organisation_id: int, invitation_id: int) -> None:
    """Withdraw an invitation."""
    with transaction(caller().name) as conn:
        owner = _owner(conn, organisation_id)
        invitations.withdraw_invitation(conn, owner, invitation_id)
