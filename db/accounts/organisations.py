"""Organisations and what they set about themselves. `scope` is the organisation that the caller may
act for; None: all of them."""

from typing import Any

from db.connections import Conn, maybe
from db.queries import load
from db.runtime.errors import Conflict, NotFound
from db.runtime.settings import settings

sql = load("accounts/organisations")

CHANGEABLE = ("name", "address", "vat_id", "return_urls", "test_mode")


def get_organisation(conn: Conn, scope: int | None, organisation_id: int) -> dict[str, Any]:
    """Return {id, name, address, vat_id, return_urls, test_mode, suspended_at,
    suspension}.

    Errors: NotFound.
    """
    _check_scope(scope, organisation_id)
    row = maybe(conn.execute(sql.get_organisation, {"organisation_id": organisation_id}))
    if row is None:
        raise NotFound
    return row


def change_organisation(
    conn: Conn, scope: int | None, organisation_id: int, given: dict[str, Any]
) -> dict[str, Any]:
    """Change some of the settings and return all, see get_organisation. Documents that were issued
    stay as they are; a trigger writes the audit log. Errors: NotFound; Conflict no_test_account."""
    _check_scope(scope, organisation_id)
    owner = {"organisation_id": organisation_id}
    row = maybe(conn.execute(sql.change_organisation, dict.fromkeys(CHANGEABLE) | given | owner))
    if row is None:
        raise NotFound
    if given.get("test_mode"):
        _need_test_account(conn, organisation_id)
    return row


def _need_test_account(conn: Conn, organisation_id: int) -> None:
    """Have an account for tests: one of the organisation's own, or else the platform's."""
    shared = bool(settings().stripe_test_api_key)
    values = {"organisation_id": organisation_id, "shared": shared}
    if maybe(conn.execute(sql.need_test_account, values)) is None:
        message = "Connect an account with a test key first: the platform has none for tests."
        raise Conflict(message, "no_test_account")


def suspend(conn: Conn, organisation_id: int, reason: str) -> dict[str, Any]:
    """Suspend an organisation: it sells nothing, and pays nothing out by hand. One that was
    suspended before gets this reason. Errors: NotFound."""
    return _set_suspension(conn, organisation_id, reason)


def lift_suspension(conn: Conn, organisation_id: int) -> dict[str, Any]:
    """Errors: NotFound."""
    return _set_suspension(conn, organisation_id, None)


def _set_suspension(conn: Conn, organisation_id: int, reason: str | None) -> dict[str, Any]:
    values = {"organisation_id": organisation_id, "reason": reason}
    if maybe(conn.execute(sql.set_suspension, values)) is None:
        raise NotFound
    return get_organisation(conn, None, organisation_id)


def refuse_suspended(conn: Conn, scope: int | None) -> None:
    """Refuse an act of an organisation that is suspended; operators may do it for the buyers' sake.

    Errors: Conflict `suspended`.
    """
    if scope is not None and get_organisation(conn, scope, scope)["suspended_at"] is not None:
        raise Conflict("An operator has suspended the organisation.", "suspended")


def _check_scope(scope: int | None, organisation_id: int) -> None:
    if scope not in (None, organisation_id):
        raise NotFound
