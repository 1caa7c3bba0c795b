"""Imports of large plans: a request stores the file, and a task reads it. `scope` is the
organisation that the caller may act for; None: all."""

from dataclasses import dataclass
from typing import Any, TypedDict

from psycopg.types.json import Jsonb

from db.catalogue.plans import check_venue
from db.catalogue.seating import PlanError
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound, UsherError

sql = load("catalogue/plan_imports")

REFUSED = "The seating plan cannot be used."


class Wanted(TypedDict):
    """What is to be imported: a new plan of a venue, or the next version of a plan; the other one
    is None. name: of the new plan; None: as in the file."""

    venue_id: int | None
    plan_id: int | None
    name: str | None
    strict: bool
    guess: bool
    unrelated: bool


@dataclass(frozen=True)
class Import:
    """An import that a task reads; plan_id None: it will be a new plan of the venue."""

    id: int
    venue_id: int
    plan_id: int | None
    name: str | None
    strict: bool
    guess: bool
    unrelated: bool
    source: bytes


def start_import(conn: Conn, scope: int | None, wanted: Wanted, source: bytes) -> int:
    """Store a plan's file and add the task that reads it; return the import's id.

    Errors: NotFound (venue or plan); Conflict imports_under_way.
    """
    values = wanted | {"scope": scope, "source": source}
    row = one(conn.execute(sql.start_plan_import, values))
    if row["outcome"] == "unknown":
        raise NotFound
    if row["outcome"] == "too_many":
        message = "Other large plans are being imported: wait until one of them has ended."
        raise Conflict(message, "imports_under_way")
    return int(row["import_id"])


def get_import(conn: Conn, scope: int | None, import_id: int) -> dict[str, Any]:
    """An import: {id, venue_id, plan_id, version_id, state, progress (0 to 1), failure: {message,
    errors or conflict_reason, if the plan is the cause}, created_at, finished_at}.

    Errors: NotFound.
    """
    row = maybe(conn.execute(sql.get_import, {"scope": scope, "import_id": import_id}))
    if row is None:
        raise NotFound
    return row


def list_imports(
    conn: Conn, scope: int | None, venue_id: int, starting_after: int, limit: int
) -> list[dict[str, Any]]:
    """The imports of a venue, the latest first, as get_import. Errors: NotFound (the venue)."""
    check_venue(conn, scope, venue_id)
    values = {"venue_id": venue_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_imports, values))


def begin_import(conn: Conn, import_id: int) -> Import | None:
    """Begin to read a plan, from its beginning. None: the import has ended."""
    row = maybe(conn.execute(sql.begin_import, {"import_id": import_id}, binary=True))
    return Import(**row) if row else None


def write_progress(conn: Conn, import_id: int, progress: float) -> None:
    """progress: the share of the work that is done, from 0 to 1."""
    conn.execute(sql.write_progress, {"import_id": import_id, "progress": progress})


def finish_import(conn: Conn, import_id: int, plan_id: int, version_id: int) -> None:
    """End an import, in the transaction that stores its version."""
    values = {"import_id": import_id, "plan_id": plan_id, "version_id": version_id}
    conn.execute(sql.finish_import, values)


def fail_import(conn: Conn, import_id: int, error: PlanError | UsherError) -> None:
    """End an import that stores nothing. error: what an import at once would have raised."""
    failure: dict[str, Any] = {"message": str(error)}
    if isinstance(error, PlanError):
        failure = {"message": REFUSED, "errors": error.errors}
    elif isinstance(error, Conflict):
        failure["conflict_reason"] = error.details["conflict_reason"]
    conn.execute(sql.fail_import, {"import_id": import_id, "failure": Jsonb(failure)})
