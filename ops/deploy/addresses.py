"""Rewrite addresses from before there was a rule for them into the form that is mailed.

A part of every release until none is left; then the constraint on buyers.email holds for all rows,
and this looks at nothing. An address that no mail can be sent to, or whose mailbox another account
has, is left as it is and said, by the ids of the buyers.
"""

import psycopg
from psycopg.rows import dict_row

from db.accounts import accounts
from db.connections import Conn
from db.presentation.addresses import AddressError, read_address

TO_DO = """
    SELECT FROM pg_constraint WHERE conname = 'buyers_email_mailed_form' AND NOT convalidated
"""
DONE = "ALTER TABLE buyers VALIDATE CONSTRAINT buyers_email_mailed_form"


def rewrite_addresses(database_url: str) -> list[str]:
    """Rewrite what can be rewritten; sentences about the rest."""
    with psycopg.connect(database_url, row_factory=dict_row) as conn:
        if conn.execute(TO_DO).fetchone() is None:
            return []
        typed = accounts.list_typed_addresses(conn)
        left = [said for row in typed if (said := rewrite(conn, row["id"], row["email"]))]
        if not left:
            conn.execute(DONE)
        return left


def rewrite(conn: Conn, buyer_id: int, email: str) -> str | None:
    """Rewrite one address; a sentence if it has to stay."""
    try:
        holder = accounts.keep_address(conn, buyer_id, read_address(email))
    except AddressError as error:
        return f"buyer {buyer_id} has an address that cannot be mailed: {error}"
    if holder is not None:
        return f"buyers {holder} and {buyer_id} have one mailbox: only the first is found by it"
    return None
