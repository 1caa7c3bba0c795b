"""Accounts of buyers. Of passwords only the hashes are known here."""

from datetime import datetime
from typing import Any, TypedDict, cast

from psycopg.errors import UniqueViolation

from db.accounts import codes, sessions
from db.accounts.audit_log import audit
from db.accounts.notices import Change, tell_change
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound, NotSignedIn

sql = load("accounts/accounts")


class EpochReading(TypedDict):
    """The epoch that tokens of an account must have, and when it was raised."""

    id: int
    token_epoch: int
    tokens_ended_at: datetime


def add_account(conn: Conn, email: str, name: str, password_hash: str | None) -> int:
    """Add an account and return its id. Errors: Conflict account_exists."""
    values = {"email": email, "name": name, "password_hash": password_hash}
    try:
        row = one(conn.execute(sql.add_account, values))
    except UniqueViolation as error:
        message = "There is an account with this e-mail address: sign in to it."
        raise Conflict(message, "account_exists") from error
    return int(row["id"])


def find_or_add(conn: Conn, email: str, name: str) -> int:
    """The id of the account with this address, or of a new one, a guest's."""
    account = find_account(conn, email)
    return int(account["id"]) if account else add_account(conn, email, name, None)


def find_account(conn: Conn, email: str) -> dict[str, Any] | None:
    """Find an account that may sign in, by its address in upper or lower case: {id, password_hash,
    token_epoch}."""
    return maybe(conn.execute(sql.find_account, {"email": email}))


def get_account(conn: Conn, account_id: int) -> dict[str, Any]:
    """Return {id, name, email, language, verified, has_password}, of the person who asks. Errors:
    NotSignedIn: it was closed a moment ago."""
    row = maybe(conn.execute(sql.get_account, {"account_id": account_id}))
    if row is None:
        raise NotSignedIn("This account was closed.")
    return row


def verify_account(conn: Conn, account_id: int) -> int:
    """Note that a person has proven to read the account's mail, and return the epoch of its tokens:
    the first time all of them end, and the password."""
    conn.execute(sql.verify_account, {"account_id": account_id})
    return int(one(conn.execute(sql.get_epoch, {"account_id": account_id}))["token_epoch"])


def list_epochs(conn: Conn, since: datetime | None) -> list[EpochReading]:
    """Accounts whose token epoch was raised since then."""
    return cast(list[EpochReading], many(conn.execute(sql.list_epochs, {"since": since})))


def list_typed_addresses(conn: Conn) -> list[dict[str, Any]]:
    """Buyers whose address is still as it was typed, before there was a rule: [{id, email}], first
    those that get its mailbox, if several have it."""
    return many(conn.execute(sql.list_typed_addresses))


def keep_address(conn: Conn, buyer_id: int, email: str) -> int | None:
    """Give a buyer the address; or return the id of the buyer who has it, and change nothing."""
    row = one(conn.execute(sql.keep_address, {"buyer_id": buyer_id, "email": email}))
    return None if row["holder"] is None else int(row["holder"])


def change_person(
    conn: Conn, account_id: int, name: str | None, language: str | None
) -> dict[str, Any]:
    """Change a person's name or language, and return the account as get_account does. Errors:
    NotSignedIn."""
    values = {"account_id": account_id, "name": name, "language": language}
    conn.execute(sql.change_person, values)
    return get_account(conn, account_id)


def get_credentials(conn: Conn, account_id: int, session_id: int | None) -> dict[str, Any]:
    """{password_hash, verified, proved: whether the session began a moment ago, by something else
    than the password}. Errors: NotSignedIn."""
    values = {"account_id": account_id, "session_id": session_id}
    row = maybe(conn.execute(sql.get_credentials, values))
    if row is None:
        raise NotSignedIn("This account was closed.")
    return row


def set_password(
    conn: Conn,
    account_id: int,
    session_id: int | None,
    old_hash: str | None,
    new_hash: str | None,
) -> None:
    """Set, change or remove a password, end all sessions but this one, and tell the person by mail.
    old_hash: what it was when its owner proved it. Errors: Conflict password_changed."""
    values = {"account_id": account_id, "old_hash": old_hash, "new_hash": new_hash}
    if maybe(conn.execute(sql.set_password, values)) is None:
        raise Conflict("The password was changed a moment ago.", "password_changed")
    sessions.end_sessions(conn, account_id, session_id)
    if change := _change_of(old_hash, new_hash):
        tell_change(conn, account_id, change)


def _change_of(old_hash: str | None, new_hash: str | None) -> Change | None:
    if old_hash and new_hash:
        return "password_changed"
    if old_hash:
        return "password_removed"
    return "password_set" if new_hash else None


def start_address_change(conn: Conn, account_id: int, email: str) -> str:
    """Mail a code to each address of a change; the secret that has to come back with them."""
    conn.execute(sql.start_address_change, {"account_id": account_id, "email": email})
    old = codes.make_code()
    new = codes.make_code(old.request)
    codes.mail_code(conn, account_id, "old_address", old)
    codes.mail_code(conn, account_id, "new_address", new)
    return old.request


def change_address(conn: Conn, account_id: int) -> None:
    """Give an account the address that both have confirmed. Errors: Conflict account_exists,
    address_changed."""
    try:
        changed = one(conn.execute(sql.change_address, {"account_id": account_id}))["changed"]
    except UniqueViolation as error:
        message = "Another account has this address: merge it into this one."
        raise Conflict(message, "account_exists") from error
    if not changed:
        raise Conflict("Another change was asked for since.", "address_changed")


def close_account(conn: Conn, account_id: int) -> None:
    """Close an account: no one signs in to it any more, its bookings stay. Errors: Conflict
    still_a_member: an organisation keeps an owner, and members' keys end with their membership."""
    values = {"account_id": account_id}
    if maybe(conn.execute(sql.close_account, values)) is not None:
        sessions.end_sessions(conn, account_id)
    elif one(conn.execute(sql.is_member, values))["is_member"]:
        raise Conflict("Leave the organisations for which you work first.", "still_a_member")


def reopen_account(conn: Conn, account_id: int) -> dict[str, Any]:
    """Open an account that its person closed, as read_account returns it. Errors: NotFound;
    Conflict account_open."""
    before = read_account(conn, account_id)
    if maybe(conn.execute(sql.reopen_account, {"account_id": account_id})) is None:
        raise Conflict("The account is not closed, or was erased.", "account_open")
    audit(conn, "account reopened", None, {}, account_id=account_id)
    return before | {"closed_at": None}


def block_account(conn: Conn, account_id: int, reason: str) -> dict[str, Any]:
    """Keep a person out, within seconds; return the account as read_account does. Errors:
    NotFound."""
    if maybe(conn.execute(sql.block_account, {"account_id": account_id, "reason": reason})) is None:
        raise NotFound
    sessions.end_sessions(conn, account_id)
    audit(conn, "account blocked", None, {}, account_id=account_id, personal={"reason": reason})
    return read_account(conn, account_id)


def unblock_account(conn: Conn, account_id: int) -> dict[str, Any]:
    """Let a person in again; return the account as read_account does. Errors: NotFound."""
    if maybe(conn.execute(sql.unblock_account, {"account_id": account_id})) is not None:
        audit(conn, "account unblocked", None, {}, account_id=account_id)
    return read_account(conn, account_id)


def read_account(conn: Conn, account_id: int) -> dict[str, Any]:
    """{id, created_at, verified_at, closed_at, blocked_at, blocked_reason, erased_at}. Errors:
    NotFound."""
    row = maybe(conn.execute(sql.read_account, {"account_id": account_id}))
    if row is None:
        raise NotFound
    return row
