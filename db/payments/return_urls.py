"""Where a buyer goes after a payment at the bank: to Usher's own page, or to the shop that began
the payment, if its organisation allows the address."""

from db.connections import Conn, many
from db.presentation.web_addresses import read_web_address
from db.queries import load
from db.runtime.errors import InvalidRequest

sql = load("payments/return_urls")


def check_return_url(conn: Conn, event_id: int, return_url: str) -> None:
    """Check that the organisation of an event allows an address: otherwise a link could send buyers
    anywhere from their bank's page. Errors: InvalidRequest return_url_not_allowed."""
    rows = many(conn.execute(sql.list_allowed, {"event_id": event_id}))
    asked = read_web_address(return_url)
    if not any(asked.is_below(read_web_address(row["address"])) for row in rows):
        message = "The organisation does not allow this address: see its return_urls."
        raise InvalidRequest(message, path="return_url", reason="return_url_not_allowed")
