"""Currencies that can be sold in; what is known of them is in sql/data/currencies.sql."""

from db.connections import Conn, maybe
from db.presentation.amounts import Currency
from db.queries import load

sql = load("catalogue/currencies")


def list_currencies(conn: Conn) -> dict[str, Currency]:
    """Those that can be sold in, by code."""
    return {row["code"]: Currency(**row) for row in conn.execute(sql.list_currencies)}


def find_currency(conn: Conn, code: str) -> Currency | None:
    """None: nothing can be sold in it."""
    row = maybe(conn.execute(sql.find_currency, {"code": code}))
    return Currency(**row) if row else None
