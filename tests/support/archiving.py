"""Events of long ago, moved into the archive."""

from db.bookings import archives
from db.bookings.archives import Piece
from db.connections import transaction
from db.maintenance.invariants import violations
from tests.support.theatre import Theatre


def end(sale: Theatre, days: int = 100) -> None:
    """The event was so long ago, and everything has come to its end."""
    conn = sale.conn
    times = "on_sale_at = now() - interval '200 d', off_sale_at = now() - make_interval(days => %s)"
    conn.execute(
        f"update events set starts_at = now() - make_interval(days => %s), {times}", [days] * 2
    )
    conn.execute("update refunds set state = 'succeeded'")
    conn.execute("update emails set state = 'sent', sent_at = now()")
    conn.execute(
        "update entries set state = 'unavailable', decided_at = now() where state = 'waiting'"
    )
    sale.number_receipts()
    conn.execute("delete from outbox")
    assert violations(conn) == []


def move(sale: Theatre, limit: int = 500) -> Piece:
    with transaction() as conn:
        return archives.move_piece(conn, sale.event, limit)


def move_all(sale: Theatre) -> None:
    while not (piece := move(sale)).done:
        assert piece.why is None
