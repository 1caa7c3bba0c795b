"""Two accounts of one person become one: what the one has bought moves to the other."""

from db.connections import Conn, one
from db.queries import load
from db.runtime.errors import Conflict

sql = load("maintenance/merging")

MESSAGES = {
    "cannot_be_merged": "This account is closed, blocked or yours, or works for an organisation.",
    "unfinished_bookings": "The other account waits in a queue, or has bookings under way: finish "
    "or cancel them first.",
    "archived": "The other account has bookings that are in the archive.",
    "over_cap": "Together both accounts have more seats of an event than a buyer may have.",
}


def merge_accounts(conn: Conn, from_id: int, into_id: int) -> None:
    """Move what an account has bought into another one, and close it. Errors: Conflict, for a
    reason of MESSAGES."""
    values = {"from_id": from_id, "into_id": into_id}
    because = one(conn.execute(sql.merge_accounts, values))["because"]
    if because is not None:
        raise Conflict(MESSAGES[because], because)
