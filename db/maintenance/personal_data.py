"""Personal data of an account: what is kept, and how it is erased.

Erasing leaves bookings as figures. It waits while something is under way: see erasure_blocks.sql.
db/maintenance/personal_columns.py says of each column what becomes of it.
"""

from typing import Any

from db.accounts.audit_log import audit
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound
from db.runtime.settings import settings

sql = load("maintenance/personal_data")

AT_ONCE = 500
"""Bookings, mails and acts in one document of an export."""


def request_erasure(conn: Conn, account_id: int) -> dict[str, Any]:
    """Erase an account's personal data, now or as soon as nothing is under way; see get_erasure.

    Errors: NotFound.
    """
    row = one(conn.execute(sql.request_erasure, {"account_id": account_id}))
    if row["state"] is None:
        raise NotFound
    return get_erasure(conn, account_id)


def get_erasure(conn: Conn, account_id: int) -> dict[str, Any]:
    """{state: 'none' (it was not requested), 'postponed' or 'erased', because: why it waits,
    requested_at, checked_at, erased_at}. Errors: NotFound.
    """
    row = maybe(conn.execute(sql.get_erasure, {"account_id": account_id}))
    if row is None:
        raise NotFound
    return row


def list_erasures(conn: Conn, starting_after: int, limit: int) -> list[dict[str, Any]]:
    """Erasures that are postponed, as get_erasure, with account_id (as id, too)."""
    return many(conn.execute(sql.list_erasures, {"starting_after": starting_after, "limit": limit}))


def withdraw_erasure(conn: Conn, account_id: int) -> None:
    """Take a postponed erasure back, if there is one. Errors: NotFound; Conflict already_erased."""
    if get_erasure(conn, account_id)["state"] == "erased":
        raise Conflict("The personal data are erased.", "already_erased")
    if maybe(conn.execute(sql.withdraw_erasure, {"account_id": account_id})) is not None:
        audit(conn, "erasure withdrawn", None, {}, account_id=account_id)


def erase_due(conn: Conn, limit: int) -> int:
    """Try postponed erasures again, and those of accounts that were closed long enough ago; return
    how many were done."""
    values = {"limit": limit, "days": settings().retention_closed}
    return int(one(conn.execute(sql.erase_due, values))["erased"])


def sweep_erased(conn: Conn, limit: int) -> int:
    """Erase what came in about accounts after their erasure; return how many were looked at."""
    return int(one(conn.execute(sql.sweep_erased, {"limit": limit}))["swept"])


def export_account(
    conn: Conn, account_id: int, starting_after: str | None = None
) -> dict[str, Any]:
    """What is kept about a person, from `next` of the document before on: {account, person,
    sessions, passkeys, second_factor, memberships, identities, invitations: in the first document;
    bookings, receipts, other_addresses, other_mails, acts: AT_ONCE of each at most; next: None if
    that is all}. The export is an act. Errors: NotFound.
    """
    values = {"account_id": account_id, "starting_after": starting_after, "limit": AT_ONCE}
    row = one(conn.execute(sql.export_page, values))
    if row["document"] is None:
        raise NotFound
    audit(conn, "personal data read", None, {}, account_id=account_id)
    document: dict[str, Any] = row["document"]
    return document


def request_export(conn: Conn, account_id: int) -> dict[str, Any]:
    """Have all that is kept about a person written by a task; see get_export. One that is younger
    than a day is taken as it is."""
    conn.execute(sql.request_export, {"account_id": account_id})
    return get_export(conn, account_id)


def get_export(conn: Conn, account_id: int) -> dict[str, Any]:
    """{state: 'none', 'writing' or 'ready', requested_at, finished_at, expires_at, parts}."""
    row = maybe(conn.execute(sql.get_export, {"account_id": account_id}))
    if row is None:
        nothing = dict.fromkeys(("requested_at", "finished_at", "expires_at"))
        return {"state": "none", "parts": 0} | nothing
    return {"state": "ready" if row["finished_at"] else "writing"} | row


def write_export_part(conn: Conn, account_id: int) -> bool:
    """Write the next part of an export; whether there is more to write."""
    values = {"account_id": account_id, "limit": AT_ONCE}
    return bool(one(conn.execute(sql.write_export_part, values))["more"])


def get_export_part(conn: Conn, account_id: int, part: int) -> dict[str, Any]:
    """A part of an export that is ready, as export_account; reading it is an act. Errors: Conflict
    export_not_ready; InvalidRequest."""
    if get_export(conn, account_id)["state"] != "ready":
        raise Conflict("Ask for an export first, and wait for its mail.", "export_not_ready")
    row = maybe(conn.execute(sql.get_export_part, {"account_id": account_id, "part": part}))
    if row is None:
        raise InvalidRequest("The export has fewer parts.", path="part")
    audit(conn, "personal data read", None, {}, account_id=account_id)
    document: dict[str, Any] = row["document"]
    return document
