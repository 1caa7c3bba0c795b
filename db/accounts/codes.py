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

PURPOSES = {"sign_in": "sign_in"}
"""What a code is good for, and the template of its mail."""


class MailedCode(NamedTuple):
    """A code, and the secret of who asked for it."""

    request: str
    code: str


def make_code() -> MailedCode:
    return MailedCode(new_request(), f"{secrets.randbelow(10**6):06}")


def new_request() -> str:
    """The secret of a request for a code, also where there is no account: answers are alike."""
    return secrets.token_urlsafe(32)


def plain_code(typed: str) -> str:
    """The digits of a code as it was typed: "123 456" is "123456"."""
    return re.sub(r"[\s-]", "", typed)


def mail_code(conn: Conn, account_id: int, purpose: str, made: MailedCode) -> bool:
    """Mail a code to an account, for one of PURPOSES. False: its mailbox has had too many within
    the hour."""
    values = {
        "account_id": account_id,
        "purpose": purpose,
        "template": PURPOSES[purpose],
        "code": made.code,
        "request": _hash(made.request),
        "hash": _hash(made.request + made.code),
    }
    return bool(one(conn.execute(sql.mail_code, values))["sent"])


def try_code(conn: Conn, purpose: str, tried: MailedCode) -> int | None:
    """The account that a code proves. None: it is wrong, was used or has expired, or too many were
    tried. The try counts, so it has to be committed."""
    values = {
        "purpose": purpose,
        "request": _hash(tried.request),
        "hash": _hash(tried.request + tried.code),
    }
    account_id = one(conn.execute(sql.try_code, values))["account_id"]
    return None if account_id is None else int(account_id)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
