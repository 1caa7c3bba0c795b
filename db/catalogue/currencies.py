"""Currencies in which events can be sold; their properties are in sql/data/currencies.sql."""

from db.connections import Conn, maybe
from db.presentation.amounts import Currency
from db.queries import load

sql = load("catalogue/currencies")


def list_currencies(conn: Conn) -> dict[str, Currency]:
    """All currencies in which events can be sold, by code."""
    return {row["code"]: Currency(**row) for row in conn.execute(sql.list_currencies)}


def find_currency(conn: Conn, code: str) -> Currency | None:
    """Find a currency by its code; None: no event can be sold in it."""
    row = maybe(conn.execute(sql.find_currency, {"code": code}))
    return Currency(**row) if row else None
