"""Organisations and what they set about themselves. `scope` is the organisation that the caller may
act for; None: all of them."""

from typing import Any

from db.connections import Conn, maybe
from db.queries import load
from db.runtime.errors import NotFound

sql = load("accounts/organisations")

CHANGEABLE = ("name", "address", "vat_id", "return_urls")


def get_organisation(conn: Conn, scope: int | None, organisation_id: int) -> dict[str, Any]:
    """Return {id, name, address, vat_id, return_urls}. Errors: NotFound."""
    _check_scope(scope, organisation_id)
    row = maybe(conn.execute(sql.get_organisation, {"organisation_id": organisation_id}))
    if row is None:
        raise NotFound
    return row


def change_organisation(
    conn: Conn, scope: int | None, organisation_id: int, given: dict[str, Any]
) -> dict[str, Any]:
    """Change some of the settings and return all, see get_organisation. Documents that were issued
    stay as they are; a trigger writes the audit log. Errors: NotFound."""
    _check_scope(scope, organisation_id)
    owner = {"organisation_id": organisation_id}
    row = maybe(conn.execute(sql.change_organisation, dict.fromkeys(CHANGEABLE) | given | owner))
    if row is None:
        raise NotFound
    return row


def _check_scope(scope: int | None, organisation_id: int) -> None:
    if scope not in (None, organisation_id):
        raise NotFound
