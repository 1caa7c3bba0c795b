"""Invitations into organisations, by mail. A code in the mail accepts one, in the account to whose
address it was mailed; only its hash is kept."""

import hashlib
import secrets
from typing import Any

from psycopg.types.json import Jsonb

from db.accounts import accounts
from db.accounts.audit_log import audit
from db.accounts.organisations import get_organisation
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotAllowed, NotFound
from db.runtime.settings import settings

sql = load("accounts/invitations")

PATH = "/invitation"


def invite(
    conn: Conn, organisation_id: int | None, email: str, role: str, inviter_id: int | None = None
) -> int:
    """Invite the person with an address, who gets an account if there is none, and return the
    invitation's id. organisation_id None: into the platform, as an operator. inviter_id: of the
    person who invites, if it is one. Errors: NotAllowed, when the inviter is no owner any more."""
    code = secrets.token_urlsafe(24)
    account_id = accounts.find_or_add(conn, email, email.partition("@")[0])
    mail = {
        "organisation": _name(conn, organisation_id),
        "role": role.replace("_", " "),
        "code": code,
        "url": f"{settings().public_url.rstrip('/')}{PATH}?code={code}",
    }
    row = one(
        conn.execute(
            sql.invite,
            {
                "organisation_id": organisation_id,
                "account_id": account_id,
                "role": role,
                "inviter_id": inviter_id,
                "code_sha256": hash_code(code),
                "mail": Jsonb(mail),
            },
        )
    )
    if row["id"] is None:
        raise NotAllowed("You are no owner any more.", reason="not_a_member")
    return int(row["id"])


def list_invitations(
    conn: Conn, organisation_id: int, *, limit: int, starting_after: int | None = None
) -> list[dict[str, Any]]:
    """Open invitations of an organisation, as get_invitation returns them."""
    values = {"organisation_id": organisation_id, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_invitations, values))


def get_invitation(conn: Conn, organisation_id: int, invitation_id: int) -> dict[str, Any]:
    """Return {id, email, role, created_at, expires_at} of an open invitation. Errors: NotFound."""
    values = {"organisation_id": organisation_id, "invitation_id": invitation_id}
    row = maybe(conn.execute(sql.get_invitation, values))
    if row is None:
        raise NotFound
    return row


def read_invitation(conn: Conn, code: str) -> dict[str, Any]:
    """Return {organisation, role, expires_at, provider_of} of an open invitation, without using it.
    organisation None: the platform; provider_of: the organisation's id, if it has an identity
    provider. Errors: NotFound."""
    row = maybe(conn.execute(sql.read_invitation, {"code_sha256": hash_code(code)}))
    if row is None:
        raise NotFound
    return row


def withdraw_invitation(conn: Conn, organisation_id: int, invitation_id: int) -> None:
    """End an invitation. Errors: NotFound, also when it was accepted."""
    values = {"organisation_id": organisation_id, "invitation_id": invitation_id}
    row = maybe(conn.execute(sql.withdraw_invitation, values))
    if row is None:
        raise NotFound
    audit(
        conn,
        "invitation withdrawn",
        None,
        {"invitation_id": row["id"], "role": row["role"]},
        organisation_id=organisation_id,
        account_id=row["account_id"],
    )


def accept_invitation(conn: Conn, account_id: int, code: str) -> None:
    """Become a member by the code of the mail. Errors: Conflict invitation_over,
    address_not_verified, already_member."""
    values = {"account_id": account_id, "code_sha256": hash_code(code)}
    outcome = one(conn.execute(sql.accept_invitation, values))["outcome"]
    if outcome == "missing":
        message = "There is no such invitation for this account, or it is over."
        raise Conflict(message, "invitation_over")
    if outcome == "not_verified":
        message = "Prove your e-mail address first: sign in by a mailed code."
        raise Conflict(message, "address_not_verified")
    if outcome == "already_member":
        raise Conflict("You are a member already: your role can be changed.", "already_member")


def _name(conn: Conn, organisation_id: int | None) -> str:
    if organisation_id is None:
        return "Usher"
    return str(get_organisation(conn, None, organisation_id)["name"])


def hash_code(code: str) -> bytes:
    """What is kept of an invitation's code."""
    return hashlib.sha256(code.encode()).digest()
