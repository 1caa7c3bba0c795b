"""Memberships: the roles that people have in organisations, and operators have in the platform."""

from typing import Any

from db.accounts.callers import Caller
from db.accounts.rights import NEED_SECOND_FACTOR
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotAllowed, NotFound

sql = load("accounts/memberships")

FRESH = 600  # seconds
"""For how long a second factor allows dangerous acts."""

HEADER = "Usher-Organisation"
PLATFORM = "platform"
"""What operators name who are members of an organisation, too."""


def find_staff(conn: Conn, account_id: int, session_id: int, organisation_id: int | None) -> Caller:
    """Whom a session acts for, in the organisation that the request names, if it names one; 0: in
    the platform.

    Errors: NotAllowed, also when there are several and none is named, or the role needs a second
    factor that was not given in this session."""
    values = {
        "account_id": account_id,
        "session_id": session_id,
        "organisation_id": organisation_id,
        "fresh_seconds": FRESH,
    }
    found = many(conn.execute(sql.find_staff, values))
    if not found:
        raise NotAllowed("This needs a membership or an API key.", reason="not_a_member")
    if len(found) > 1:
        message = f"You have several memberships: name the organisation in the header {HEADER}."
        raise NotAllowed(message, reason="organisation_needed")
    (row,) = found
    if row["role"] in NEED_SECOND_FACTOR and not row["has_factor"]:
        message = f"The role {row['role']} needs a second factor in this session."
        raise NotAllowed(message, reason="second_factor_needed")
    return Caller(
        account_id,
        row["role"],
        row["organisation_id"],
        account_id,
        is_confirmed=row["is_confirmed"],
        is_person=True,
    )


def list_members(
    conn: Conn, organisation_id: int, *, limit: int, starting_after: int | None = None
) -> list[dict[str, Any]]:
    """Members of an organisation, as get_member returns them."""
    values = {"organisation_id": organisation_id, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_members, values))


def get_member(conn: Conn, organisation_id: int, membership_id: int) -> dict[str, Any]:
    """Return {id, account_id, name, email, role, created_at, second_factor}. Errors: NotFound."""
    values = {"organisation_id": organisation_id, "membership_id": membership_id}
    row = maybe(conn.execute(sql.get_member, values))
    if row is None:
        raise NotFound
    return row


def list_all_members(conn: Conn) -> list[dict[str, Any]]:
    """All members: [{id, account_id, role, organisation_id, organisation, created_at}]."""
    return many(conn.execute(sql.list_all_members))


def list_own(conn: Conn, account_id: int, organisation_id: int | None) -> list[dict[str, Any]]:
    """A person's memberships: [{id, organisation_id, organisation, role, created_at}].
    organisation_id: this one's only, if given."""
    values = {"account_id": account_id, "organisation_id": organisation_id}
    return many(conn.execute(sql.list_own, values))


def change_role(conn: Conn, organisation_id: int, membership_id: int, role: str) -> dict[str, Any]:
    """Give a member another role; see get_member. Errors: NotFound; Conflict last_owner."""
    values = {"membership_id": membership_id, "organisation_id": organisation_id, "role": role}
    _check(one(conn.execute(sql.change_role, values))["outcome"])
    return get_member(conn, organisation_id, membership_id)


def remove_member(conn: Conn, organisation_id: int | None, membership_id: int) -> None:
    """End a membership; None: in any organisation. Errors: NotFound; Conflict last_owner."""
    values = {"membership_id": membership_id, "organisation_id": organisation_id}
    _check(one(conn.execute(sql.end_membership, values))["outcome"])


def leave(conn: Conn, account_id: int, organisation_id: int | None, membership_id: int) -> None:
    """End an own membership, in this organisation, if it is given. Errors: NotFound; Conflict
    last_owner."""
    own = {"account_id": account_id, "organisation_id": organisation_id}
    values = {"membership_id": membership_id, **own}
    if maybe(conn.execute(sql.find_own, values)) is None:
        raise NotFound
    remove_member(conn, None, membership_id)


def check_stays_owner(conn: Conn, account_id: int, organisation_id: int | None) -> None:
    """Check that a person is an owner, or an operator, who stays it until the transaction ends: who
    is none afterwards loses what is made in it. Errors: NotAllowed."""
    values = {"account_id": account_id, "organisation_id": organisation_id}
    if not one(conn.execute(sql.stays_owner, values))["stays"]:
        raise NotAllowed("You are no owner any more.", reason="not_a_member")


def _check(outcome: str) -> None:
    if outcome == "missing":
        raise NotFound
    if outcome == "last_owner":
        raise Conflict("An organisation has an owner: make another one first.", "last_owner")
