"""The audit log: what organisers and operators did, and when."""

from typing import Any

from psycopg.types.json import Jsonb

from db.connections import Conn, many
from db.queries import load

sql = load("accounts/audit_log")


def audit(conn: Conn, action: str, event_id: int | None, detail: dict[str, Any]) -> None:
    """Add an entry about who acts in this transaction."""
    values = {"action": action, "event_id": event_id, "detail": Jsonb(detail)}
    conn.execute(sql.audit, values)


def list_acts(
    conn: Conn,
    *,
    limit: int,
    starting_after: int | None = None,
    actor: str | None = None,
    action: str | None = None,
) -> list[dict[str, Any]]:
    """Entries, the latest first: [{id, at, actor, action, event_id, detail}]."""
    values = {"limit": limit, "starting_after": starting_after, "actor": actor, "action": action}
    return many(conn.execute(sql.list_acts, values))
