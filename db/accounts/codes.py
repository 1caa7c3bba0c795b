"""Codes of six digits that are mailed, and prove that an account's mail is read.

A code is bound to who asked for it: the answer to the request has a secret, which comes back with
the code. So a stranger who asks for codes of another person's account can try them, and guess five
times each, and whatever is tried changes nothing for the owner.
"""

import hashlib
import re
import secrets
from typing import NamedTuple

from db.connections import Conn, one
from db.queries import load

sql = load("accounts/codes")

PURPOSES = ("sign_in", "old_address", "new_address", "merge")
"""What a code is good for; the template of its mail has that name."""


class MailedCode(NamedTuple):
    """A code, and the secret of who asked for it."""

    request: str
    code: str


def make_code(request: str | None = None) -> MailedCode:
    """Make a code. request: of another code that was asked for at the same time."""
    return MailedCode(request or secrets.token_urlsafe(32), f"{secrets.randbelow(10**6):06}")


def plain_code(typed: str) -> str:
    """The digits of a code as it was typed: "123 456" is "123456"."""
    return re.sub(r"[\s-]", "", typed)


def mail_code(conn: Conn, account_id: int, purpose: str, made: MailedCode) -> bool:
    """Mail a code to an account, for one of PURPOSES. False: its mailbox has had too many within
    the hour."""
    values = {
        "account_id": account_id,
        "purpose": purpose,
        "template": purpose,
        "code": made.code,
        "request": _hash(made.request),
        "hash": _hash(made.request + made.code),
    }
    return bool(one(conn.execute(sql.mail_code, values))["sent"])


def pretend_code(conn: Conn, email: str, purpose: str, made: MailedCode) -> None:
    """Note that a code was asked for with an address that no account has; see
    sql/functions/accounts/pretend_code.sql. It proves nothing."""
    values = {
        "email": email,
        "purpose": purpose,
        "request": _hash(made.request),
        "hash": _hash(made.request + made.code),
    }
    conn.execute(sql.pretend_code, values)


def mail_or_pretend(conn: Conn, account_id: int | None, email: str, purpose: str) -> str:
    """Mail a code to an account, or do what takes as long where there is none; the secret that has
    to come back with the code."""
    made = make_code()
    if account_id is None:
        pretend_code(conn, email, purpose, made)
    else:
        mail_code(conn, account_id, purpose, made)
    return made.request


def try_codes(conn: Conn, request: str, tried: dict[str, str]) -> int | None:
    """The account that the codes of a request prove, by purpose: all of them, or none is used.
    None: one is wrong, was used or has expired, or too many were tried. The try counts, so it has
    to be committed."""
    values = {
        "request": _hash(request),
        "purposes": list(tried),
        "hashes": [_hash(request + plain_code(code)) for code in tried.values()],
    }
    account_id = one(conn.execute(sql.try_codes, values))["account_id"]
    return None if account_id is None else int(account_id)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
