"""Dead letters: tasks that were given up, until an operator has resolved them.

A letter is open until its task is retried, came to its end after all, or is discarded. Everything
that operators do here is in the audit log.
"""

from collections.abc import Mapping
from typing import Any

from db.connections import Conn, many, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("durable/dead_letters")

CHOICES = ("actor", "event_id", "booking_id", "buyer_id", "older_than", "newer_than", "reason")
"""What letters can be chosen by. older_than, newer_than: seconds since they died; reason: a part of
it, in any case."""
ANY: dict[str, Any] = dict.fromkeys(("id", "starting_after", "open", *CHOICES))


def list_letters(
    conn: Conn, wanted: Mapping[str, Any], limit: int, *, oldest_first: bool = False
) -> list[dict[str, Any]]:
    """Letters as `wanted` (some of CHOICES, and of ANY), latest first, without their history.
    lives: the task goes on being tried."""
    values = {**ANY, **wanted, "limit": limit, "oldest_first": oldest_first}
    return many(conn.execute(sql.list_letters, values))


def get_letter(conn: Conn, letter_id: int) -> dict[str, Any]:
    """A letter with errors, its history: [{at, kind, error, claims, worker}], as add_attempt in SQL
    says. Errors: NotFound.
    """
    found = list_letters(conn, {"id": letter_id}, 1)
    if not found:
        raise NotFound(f"There is no dead letter {letter_id}.")
    return found[0]


def retry(conn: Conn, letter_id: int) -> dict[str, Any]:
    """{id, outcome, task_id}: 'retried' as that task; or 'hastened', when the letter's own still
    lives and only runs now.

    Errors: NotFound, Conflict already_resolved or cannot_be_retried.
    """
    row = one(conn.execute(sql.retry_letter, {"id": letter_id}))
    _refuse(letter_id, row, "cannot_be_retried")
    return {"id": letter_id, "outcome": row["outcome"], "task_id": row["task_id"]}


def discard(conn: Conn, letter_id: int, reason: str) -> None:
    """Close it and end its task.

    Errors: NotFound, Conflict already_resolved, or unfinished while money depends on it.
    """
    row = one(conn.execute(sql.discard_letter, {"id": letter_id, "reason": reason}))
    _refuse(letter_id, row, "unfinished")


def _refuse(letter_id: int, row: dict[str, Any], why: str) -> None:
    if row["outcome"] == "unknown":
        raise NotFound(f"There is no dead letter {letter_id}.")
    if row["outcome"] == "resolved":
        raise Conflict(f"It was resolved before: {row['detail']}.", "already_resolved")
    if row["outcome"] == "refused":
        raise Conflict(f"Not so: {row['detail']}.", why)


def retry_many(conn: Conn, wanted: Mapping[str, Any], limit: int) -> dict[str, list[Any]]:
    """Retry those that are open and as `wanted`, the oldest first, at most `limit`.

    {retried: as by retry(), refused: [{id, why}]}
    """
    done: dict[str, list[Any]] = {"retried": [], "refused": []}
    for letter in list_letters(conn, {**wanted, "open": True}, limit, oldest_first=True):
        try:
            done["retried"].append(retry(conn, letter["id"]))
        except Conflict as refusal:
            done["refused"].append({"id": letter["id"], "why": str(refusal)})
    return done
