"""Functions of earlier versions in the database.

`create or replace` leaves them there: one whose parameters have changed as another overload, one
whose file is gone as it was.
"""

from typing import Any

from db.connections import Conn, many
from db.queries import load

sql = load("maintenance/functions")


def list_functions(conn: Conn) -> dict[int, str]:
    """Functions of our schema by id, each with a text that changes when it is created anew."""
    return {row["id"]: row["version"] for row in conn.execute(sql.list_functions)}


def plan_cleanup(conn: Conn, outdated: list[int]) -> list[dict[str, Any]]:
    """What is to be done about functions: {signature, is_marked, statement}.

    outdated: ids of those that are not of this version.
    """
    return many(conn.execute(sql.plan_cleanup, {"outdated": outdated}))
