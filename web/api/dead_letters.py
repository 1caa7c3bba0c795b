"""Dead letters, for operators: list, read, retry, discard."""

from typing import Any

from marshmallow import fields, post_load

from db.accounts.audit_log import audit
from db.connections import Conn, transaction
from db.durable import dead_letters
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import ATTEMPT_KIND, LETTER_FILTER, RETRY_OUTCOME
from web.support.fields import Answer, Line, OneOf, QueryInteger, Schema, StrictInteger, Text
from web.support.pages import Page

blp = Blueprint(
    "dead_letters", __name__, url_prefix="/v1", description="Tasks that failed for good"
)

LETTERS = "/dead-letters"
MOST_AT_ONCE = 500
LONGEST = 10 * 366 * 86400


class Choice(Schema):
    """Filters; a filter that is not given matches everything."""

    actor = Text(metadata={"description": "of this kind of task"})
    booking_id = fields.UUID()
    reason = Text(metadata={"description": "a part of the reason, ignoring case"})


class LetterPage(Choice, Page):
    """A page of dead letters."""

    event_id = QueryInteger(least=1)
    buyer_id = QueryInteger(least=1)
    older_than = QueryInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    newer_than = QueryInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    state = OneOf(LETTER_FILTER, load_default="open", metadata={"description": "which are listed"})
    starting_after = QueryInteger(least=1, metadata={"description": "the last id you have"})


class ManyToRetry(Choice):
    """Filters for open dead letters; the oldest are retried first."""

    event_id = StrictInteger(least=1)
    buyer_id = StrictInteger(least=1)
    older_than = StrictInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    newer_than = StrictInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    limit = StrictInteger(
        least=1,
        most=MOST_AT_ONCE,
        required=True,
        metadata={"description": "how many are retried at most"},
    )

    @post_load
    def split(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"limit": given.pop("limit"), "wanted": given}


class Letter(Answer):
    """A task that was given up, and waits for an operator."""

    id = StrictInteger(metadata={"description": "the dead letter's id"})
    task_id = StrictInteger(
        metadata={"description": "0: not a task, but an entry that could not be decided"}
    )
    actor = fields.String(metadata={"description": "the kind of task"})
    queue = fields.String(metadata={"description": "of the task"})
    key = fields.String(
        allow_none=True, metadata={"description": "what it is about; null: tasks may be doubled"}
    )
    args = fields.Dict(metadata={"description": "the task's arguments"})
    event_id = StrictInteger(allow_none=True, metadata={"description": "null: about no event"})
    booking_id = fields.UUID(allow_none=True, metadata={"description": "null: about no booking"})
    buyer_id = StrictInteger(allow_none=True, metadata={"description": "null: about no buyer"})
    reason = fields.String(metadata={"description": "why it was given up"})
    claims = StrictInteger(metadata={"description": "leases without an outcome"})
    failures = StrictInteger(metadata={"description": "how often it failed"})
    trace = fields.String(
        allow_none=True,
        metadata={"description": "request_id of the request that caused it; null: none did"},
    )
    created_at = fields.AwareDateTime(metadata={"description": "of the task"})
    died_at = fields.AwareDateTime(metadata={"description": "when it was given up"})
    lives = fields.Boolean(metadata={"description": "its task is still tried"})
    resolved_at = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when it was closed; null: it is open"}
    )
    resolution = fields.String(
        allow_none=True, metadata={"description": "how it was closed; null: it is open"}
    )
    resolved_by = fields.String(allow_none=True, metadata={"description": "null: its own task"})
    retried_as = StrictInteger(
        allow_none=True, metadata={"description": "the task that a retry made; null: none"}
    )
    retry_of = StrictInteger(
        allow_none=True,
        metadata={"description": "the dead letter whose retry failed; null: it is the first"},
    )


class Attempt(Answer):
    """An attempt at a task that did not end well."""

    at = fields.String(metadata={"description": "when", "format": "date-time"})
    kind = OneOf(ATTEMPT_KIND)
    error = fields.String(metadata={"description": "what was wrong"})
    claims = StrictInteger(metadata={"description": "leases without an outcome, at that time"})
    worker = fields.String(
        allow_none=True, metadata={"description": "which worker; null: not known"}
    )
    times = StrictInteger(
        metadata={"description": "how often it happened, if more than once", "optional": True}
    )
    last_at = fields.String(
        metadata={
            "description": "when it happened last, if more than once",
            "format": "date-time",
            "optional": True,
        }
    )


class LetterInFull(Letter):
    """A dead letter with its history."""

    errors = fields.List(fields.Nested(Attempt), metadata={"description": "all attempts"})


class Retried(Answer):
    """A dead letter whose task runs again."""

    id = StrictInteger(metadata={"description": "the dead letter's id"})
    outcome = OneOf(RETRY_OUTCOME)
    task_id = StrictInteger(metadata={"description": "the task that runs"})


class NotRetried(Answer):
    """A dead letter that cannot be retried."""

    id = StrictInteger(metadata={"description": "the dead letter's id"})
    why = fields.String(metadata={"description": "the reason, for a person"})


class ManyRetried(Answer):
    """What became of those that were chosen."""

    retried = fields.List(fields.Nested(Retried), metadata={"description": "the oldest first"})
    refused = fields.List(fields.Nested(NotRetried), metadata={"description": "the oldest first"})


class Discard(Schema):
    """Why a dead letter is closed."""

    reason = Line(most=500, required=True, metadata={"description": "for the audit"})


@blp.route(LETTERS)
@needs("dead_letters.read")
@blp.paginated(Letter, LetterPage, reads="dead letters read")
def list_dead_letters(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Dead letters, latest first."""
    limit, state = page.pop("limit"), page.pop("state")
    wanted = page | {"open": {"open": True, "resolved": False, "all": None}[state]}
    return dead_letters.list_dead_letters(conn, wanted, limit)


@blp.route(f"{LETTERS}/<id:letter_id>")
@needs("dead_letters.read")
@blp.response(200, LetterInFull)
def get_dead_letter(letter_id: int) -> dict[str, Any]:
    """A dead letter with every attempt and the worker that made it."""
    with transaction(caller().name) as conn:
        letter = dead_letters.get_dead_letter(conn, letter_id)
        audit(conn, "dead letters read", letter["event_id"], {"dead_letter": letter_id})
        return letter


@blp.route(f"{LETTERS}/<id:letter_id>/retry", methods=["POST"])
@needs("dead_letters.write")
@blp.response(200, Retried)
@blp.conflicts("already_resolved", "cannot_be_retried")
def retry_dead_letter(letter_id: int) -> dict[str, Any]:
    """Run its task again. A second request is refused, since the dead letter is resolved then."""
    with transaction(caller().name) as conn:
        return dead_letters.retry(conn, letter_id)


@blp.route(f"{LETTERS}/retry", methods=["POST"])
@needs("dead_letters.write")
@blp.arguments(ManyToRetry, example={"actor": "send_email", "limit": 50})
@blp.response(200, ManyRetried)
def retry_dead_letters(given: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of many dead letters again: all of them or, after an error, none."""
    with transaction(caller().name) as conn:
        return dead_letters.retry_many(conn, given["wanted"], given["limit"])


@blp.route(f"{LETTERS}/<id:letter_id>/discard", methods=["POST"])
@needs("dead_letters.write")
@blp.arguments(Discard, example={"reason": "The mailbox is gone; we called the buyer."})
@blp.response(200, LetterInFull)
@blp.conflicts("already_resolved", "unfinished")
def discard_dead_letter(given: dict[str, str], letter_id: int) -> dict[str, Any]:
    """Close it and delete its task; refused while money depends on the task."""
    with transaction(caller().name) as conn:
        dead_letters.discard(conn, letter_id, given["reason"])
        return dead_letters.get_dead_letter(conn, letter_id)
