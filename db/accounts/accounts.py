"""Accounts of buyers. Of passwords only the hashes are known here."""

from datetime import datetime
from typing import Any, TypedDict, cast

from psycopg.errors import UniqueViolation

from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

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
    """Return {id, name, email}. Errors: NotFound."""
    row = maybe(conn.execute(sql.get_account, {"account_id": account_id}))
    if row is None:
        raise NotFound
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
