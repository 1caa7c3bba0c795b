"""The money that an account has at the gateway: balance transactions with the gateway's fees, and
payouts to the bank. All amounts in minor units, currencies in capitals."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from db.connections import Conn, many, one
from db.queries import load

sql = load("payments/payouts")

READ_EVERY = timedelta(hours=1)
FIRST = timedelta(days=30)
"""How far back an account's first reading goes."""
PAYOUTS = timedelta(days=14)
"""How far back payouts are read again: until then a bank may send one back."""


@dataclass(frozen=True)
class Reading:
    """A reading of an account's balance that is under way."""

    gateway_account_id: int
    window_from: datetime
    window_to: datetime
    cursor: str | None


@dataclass(frozen=True)
class Transaction:
    """A change of the balance. amount is signed; payment_ref: the gateway's id of the payment."""

    id: str
    type: str
    source: str | None
    payment_ref: str | None
    amount: int
    fee: int
    currency: str
    made_at: datetime
    available_at: datetime


@dataclass(frozen=True)
class Payout:
    """A payout, in the gateway's words."""

    ref: str
    amount: int
    currency: str
    state: str
    made_at: datetime
    arrives_at: datetime
    failure: str | None


def start_readings(conn: Conn) -> int:
    """Add a task for each account whose balance can be read, and return how many there are."""
    return len(many(conn.execute(sql.start_readings)))


def begin(conn: Conn, account_id: int) -> Reading:
    values = {"account_id": account_id, "first": FIRST}
    return Reading(**one(conn.execute(sql.begin_reading, values)))


def take_page(conn: Conn, reading: Reading, page: list[Transaction], cursor: str | None) -> None:
    """Keep a page of transactions. cursor: the last one, if more follow."""
    keep_transactions(conn, reading.gateway_account_id, page)
    values = {"account_id": reading.gateway_account_id, "cursor": cursor}
    conn.execute(sql.move_cursor, values)


def keep_transactions(conn: Conn, account_id: int, rows: list[Transaction]) -> None:
    values = {
        "account_id": account_id,
        "ids": [row.id for row in rows],
        "types": [row.type for row in rows],
        "sources": [row.source for row in rows],
        "payment_refs": [row.payment_ref for row in rows],
        "amounts": [row.amount for row in rows],
        "fees": [row.fee for row in rows],
        "currencies": [row.currency for row in rows],
        "made_at": [row.made_at for row in rows],
        "available_at": [row.available_at for row in rows],
    }
    conn.execute(sql.keep_transactions, values)


def keep_payouts(conn: Conn, account_id: int, payouts: list[Payout]) -> None:
    values = {
        "account_id": account_id,
        "refs": [payout.ref for payout in payouts],
        "amounts": [payout.amount for payout in payouts],
        "currencies": [payout.currency for payout in payouts],
        "states": [payout.state for payout in payouts],
        "made_at": [payout.made_at for payout in payouts],
        "arrives_at": [payout.arrives_at for payout in payouts],
        "failures": [payout.failure for payout in payouts],
    }
    conn.execute(sql.keep_payouts, values)


def list_unread(conn: Conn, account_id: int) -> list[str]:
    """The gateway's ids of payouts whose transactions were not read yet."""
    return [row["gateway_ref"] for row in conn.execute(sql.list_unread, {"account_id": account_id})]


def note_payout(
    conn: Conn, account_id: int, payout_ref: str, rows: list[Transaction], *, whole: bool
) -> None:
    """Note that a payout contains these transactions. whole: they were the last of it."""
    keep_transactions(conn, account_id, rows)
    values: dict[str, Any] = {"account_id": account_id, "payout_ref": payout_ref}
    conn.execute(sql.note_payout, values | {"ids": [row.id for row in rows], "whole": whole})


def list_payouts(
    conn: Conn, organisation_id: int, *, limit: int, starting_after: int = 0
) -> list[dict[str, Any]]:
    """Payouts of an organisation's own accounts, the latest first."""
    values = {"organisation_id": organisation_id, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_payouts, values))


def sum_fees(
    conn: Conn, organisation_id: int, since: datetime, until: datetime
) -> list[dict[str, Any]]:
    """The gateway's fees: [{gateway_account_id, currency, transactions, amount, fee, net}]."""
    values = {"organisation_id": organisation_id, "since": since, "until": until}
    return many(conn.execute(sql.sum_fees, values))
