"""Dead letters: tasks that were given up and wait for an operator.

A letter is open until its task is retried, is done after all, or is discarded. Each change that
an operator makes here is in the audit log.
"""

from collections.abc import Mapping
from typing import Any

from db.connections import Conn, many, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("durable/dead_letters")

CHOICES = ("actor", "event_id", "booking_id", "buyer_id", "older_than", "newer_than", "reason")
"""Filters of letters. older_than, newer_than: seconds since the letter was made; reason: a part of
its text, in upper or lower case."""
ANY: dict[str, Any] = dict.fromkeys(("id", "starting_after", "open", *CHOICES))


def list_dead_letters(
    conn: Conn, wanted: Mapping[str, Any], limit: int, *, oldest_first: bool = False
) -> list[dict[str, Any]]:
    """Letters that match `wanted` (filters of CHOICES, the others from ANY), the latest first,
    without their history. lives: the task was kept and is tried again."""
    values = {**ANY, **wanted, "limit": limit, "oldest_first": oldest_first}
    return many(conn.execute(sql.list_dead_letters, values))


def get_dead_letter(conn: Conn, letter_id: int) -> dict[str, Any]:
    """A letter with its history in errors: [{at, kind, error, claims, worker}], see the SQL
    function add_attempt. Errors: NotFound.
    """
    found = list_dead_letters(conn, {"id": letter_id}, 1)
    if not found:
        raise NotFound(f"There is no dead letter {letter_id}.")
    return found[0]


def retry(conn: Conn, letter_id: int) -> dict[str, Any]:
    """Retry a letter's task: {id, outcome, task_id}. outcome: 'retried', with a new task; or
    'hastened', when the letter's own task was kept and now runs at once.

    Errors: NotFound, Conflict already_resolved or cannot_be_retried.
    """
    row = one(conn.execute(sql.retry_dead_letter, {"id": letter_id}))
    _refuse(letter_id, row, "cannot_be_retried")
    return {"id": letter_id, "outcome": row["outcome"], "task_id": row["task_id"]}


def discard(conn: Conn, letter_id: int, reason: str) -> None:
    """Close a letter and delete its task.

    Errors: NotFound, Conflict already_resolved, or unfinished while money depends on it.
    """
    row = one(conn.execute(sql.discard_dead_letter, {"id": letter_id, "reason": reason}))
    _refuse(letter_id, row, "unfinished")


def _refuse(letter_id: int, row: dict[str, Any], why: str) -> None:
    if row["outcome"] == "unknown":
        raise NotFound(f"There is no dead letter {letter_id}.")
    if row["outcome"] == "resolved":
        raise Conflict(f"It was resolved before: {row['detail']}.", "already_resolved")
    if row["outcome"] == "refused":
        raise Conflict(f"Refused: {row['detail']}.", why)


def retry_many(conn: Conn, wanted: Mapping[str, Any], limit: int) -> dict[str, list[Any]]:
    """Retry open letters that match `wanted`, the oldest first, at most `limit`.

    Returns {retried: [see retry()], refused: [{id, why}]}.
    """
    done: dict[str, list[Any]] = {"retried": [], "refused": []}
    for letter in list_dead_letters(conn, {**wanted, "open": True}, limit, oldest_first=True):
        try:
            done["retried"].append(retry(conn, letter["id"]))
        except Conflict as refusal:
            done["refused"].append({"id": letter["id"], "why": str(refusal)})
    return done
