"""Dead letters, for operators: list, read, retry, discard."""

from typing import Any

from marshmallow import fields, post_load, validate

from db.connections import Conn, autocommit, transaction
from db.durable import dead_letters
from web.support.auth import caller, operators_only
from web.support.blueprint import Blueprint
from web.support.fields import Line, QueryInteger, Schema, StrictInteger, Text
from web.support.pages import Page

blp = Blueprint(
    "dead_letters", __name__, url_prefix="/v1", description="Tasks that failed for good"
)

LETTERS = "/dead-letters"
MOST_AT_ONCE = 500
LONGEST = 10 * 366 * 86400


class Choice(Schema):
    """Filters; a filter that is not given matches everything."""

    actor = Text()
    booking_id = fields.UUID()
    reason = Text(metadata={"description": "a part of the reason, ignoring case"})


class LetterPage(Choice, Page):
    event_id = QueryInteger(least=1)
    buyer_id = QueryInteger(least=1)
    older_than = QueryInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    newer_than = QueryInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    state = Text(
        validate=validate.OneOf(["open", "resolved", "all"]),
        load_default="open",
        metadata={"description": "resolved: retried, discarded, or its task succeeded"},
    )
    starting_after = QueryInteger(least=1, metadata={"description": "the last id you have"})


class ManyToRetry(Choice):
    """Filters for open dead letters; the oldest are retried first."""

    event_id = StrictInteger(least=1)
    buyer_id = StrictInteger(least=1)
    older_than = StrictInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    newer_than = StrictInteger(most=LONGEST, metadata={"description": "seconds since it died"})
    limit = StrictInteger(least=1, most=MOST_AT_ONCE, required=True)

    @post_load
    def split(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"limit": given.pop("limit"), "wanted": given}


class Letter(Schema):
    id = StrictInteger()
    task_id = StrictInteger(
        metadata={"description": "0: not a task, but an entry that could not be decided"}
    )
    actor = fields.String()
    queue = fields.String()
    key = fields.String(allow_none=True)
    args = fields.Dict()
    event_id = StrictInteger(allow_none=True)
    booking_id = fields.UUID(allow_none=True)
    buyer_id = StrictInteger(allow_none=True)
    reason = fields.String()
    claims = StrictInteger(metadata={"description": "leases without an outcome"})
    failures = StrictInteger()
    trace = fields.String(
        allow_none=True, metadata={"description": "request_id of the request that caused it"}
    )
    created_at = fields.AwareDateTime(metadata={"description": "of the task"})
    died_at = fields.AwareDateTime()
    lives = fields.Boolean(metadata={"description": "its task is still tried"})
    resolved_at = fields.AwareDateTime(allow_none=True)
    resolution = fields.String(allow_none=True)
    resolved_by = fields.String(allow_none=True, metadata={"description": "null: its own task"})
    retried_as = StrictInteger(
        allow_none=True, metadata={"description": "the task that a retry made"}
    )
    retry_of = StrictInteger(
        allow_none=True, metadata={"description": "the dead letter whose retry failed"}
    )


class Attempt(Schema):
    at = fields.String()
    kind = fields.String(metadata={"description": "failed, died (with its worker) or later"})
    error = fields.String()
    claims = StrictInteger()
    worker = fields.String(allow_none=True)
    times = StrictInteger(metadata={"description": "how often it happened"})
    last_at = fields.String()


class LetterInFull(Letter):
    errors = fields.List(fields.Nested(Attempt), metadata={"description": "all attempts"})


class Retried(Schema):
    id = StrictInteger()
    outcome = fields.String(
        metadata={
            "description": "retried: as a new task; hastened: its task still exists, and runs now"
        }
    )
    task_id = StrictInteger()


class NotRetried(Schema):
    id = StrictInteger()
    why = fields.String()


class ManyRetried(Schema):
    retried = fields.List(fields.Nested(Retried))
    refused = fields.List(fields.Nested(NotRetried))


class Discard(Schema):
    reason = Line(most=500, required=True)


@blp.route(LETTERS)
@operators_only
@blp.paginated(Letter, LetterPage)
def list_dead_letters(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Dead letters, latest first."""
    limit, state = page.pop("limit"), page.pop("state")
    wanted = page | {"open": {"open": True, "resolved": False, "all": None}[state]}
    return dead_letters.list_dead_letters(conn, wanted, limit)


@blp.route(f"{LETTERS}/<id:letter_id>")
@operators_only
@blp.response(200, LetterInFull)
def get_dead_letter(letter_id: int) -> dict[str, Any]:
    """A dead letter with every attempt and the worker that made it."""
    with autocommit() as conn:
        return dead_letters.get_dead_letter(conn, letter_id)


@blp.route(f"{LETTERS}/<id:letter_id>/retry", methods=["POST"])
@operators_only
@blp.response(200, Retried)
def retry(letter_id: int) -> dict[str, Any]:
    """Run its task again. A second request is refused, since the dead letter is resolved then."""
    with transaction(caller().name) as conn:
        return dead_letters.retry(conn, letter_id)


@blp.route(f"{LETTERS}/retry", methods=["POST"])
@operators_only
@blp.arguments(ManyToRetry)
@blp.response(200, ManyRetried)
def retry_many(given: dict[str, Any]) -> dict[str, Any]:
    """Run the tasks of many dead letters again: all of them or, after an error, none."""
    with transaction(caller().name) as conn:
        return dead_letters.retry_many(conn, given["wanted"], given["limit"])


@blp.route(f"{LETTERS}/<id:letter_id>/discard", methods=["POST"])
@operators_only
@blp.arguments(Discard)
@blp.response(200, LetterInFull)
def discard(given: dict[str, str], letter_id: int) -> dict[str, Any]:
    """Close it and delete its task; refused while money depends on the task."""
    with transaction(caller().name) as conn:
        dead_letters.discard(conn, letter_id, given["reason"])
        return dead_letters.get_dead_letter(conn, letter_id)
