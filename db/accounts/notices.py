"""Mails that tell a person how the account is entered now, and was not before."""

from typing import Literal

from db.connections import Conn
from db.queries import load

sql = load("accounts/notices")

Change = Literal[
    "app_added",
    "app_removed",
    "factors_reset",
    "passkey_added",
    "passkey_removed",
    "password_changed",
    "password_removed",
    "password_set",
    "recovery_code_used",
    "recovery_codes_drawn",
]


def tell_change(conn: Conn, account_id: int, change: Change) -> None:
    """Tell a person by mail, if the address was proven."""
    conn.execute(sql.tell_change, {"account_id": account_id, "change": change})
