"""The audit log: what organisers and operators did, and when."""

from typing import Any

from db.connections import Conn, many
from db.queries import load

sql = load("maintenance/audit_log")


def list_acts(
    conn: Conn,
    *,
    limit: int,
    starting_after: int | None = None,
    actor: str | None = None,
    action: str | None = None,
) -> list[dict[str, Any]]:
    """{id, at, actor, action, event_id, detail}, the latest first."""
    values = {"limit": limit, "starting_after": starting_after, "actor": actor, "action": action}
    return many(conn.execute(sql.list_acts, values))
