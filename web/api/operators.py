"""Lists for operators: tasks, payments in doubt, unsent e-mails."""

from typing import Any

from marshmallow import fields

from db.connections import Conn
from db.durable import outbox
from db.mail import emails
from db.payments import payments
from web.support.blueprint import Blueprint
from web.support.callers import needs
from web.support.enumerations import (
    BOOKING_STATE,
    MAIL_FILTER,
    MAIL_STATE,
    MAIL_TEMPLATE,
    PAYMENT_STATE,
    TASK_FILTER,
    TASK_STATE,
)
from web.support.fields import Answer, OneOf, QueryInteger, StrictInteger, Text
from web.support.pages import Page, PageByUUID

blp = Blueprint("operators", __name__, url_prefix="/v1", description="Tasks of the service")


class TaskPage(Page):
    """A page of tasks."""

    state = OneOf(TASK_FILTER, metadata={"description": "only these; left out: all"})
    actor = Text(metadata={"description": "only this kind of task"})
    event_id = QueryInteger(least=1)


class Task(Answer):
    """A durable task that is not done."""

    id = StrictInteger(metadata={"description": "the task's id"})
    actor = fields.String(metadata={"description": "the kind of task"})
    queue = fields.String(metadata={"description": "drain, payments, mail or maintenance"})
    key = fields.String(
        allow_none=True, metadata={"description": "what it is about; null: tasks may be doubled"}
    )
    args = fields.Dict(metadata={"description": "its arguments"})
    event_id = StrictInteger(allow_none=True, metadata={"description": "null: about no event"})
    priority = StrictInteger(metadata={"description": "20 first, then 50, then 80"})
    state = OneOf(TASK_STATE)
    created_at = fields.AwareDateTime()
    run_at = fields.AwareDateTime(metadata={"description": "not before that"})
    sends = StrictInteger(metadata={"description": "messages sent since its last lease"})
    claims = StrictInteger(metadata={"description": "leases without an outcome"})
    failures = StrictInteger(metadata={"description": "how often it failed"})
    last_error = fields.String(
        allow_none=True, metadata={"description": "of the last attempt; null: none failed"}
    )
    lease_until = fields.AwareDateTime(
        allow_none=True, metadata={"description": "how long its worker may take; null: none"}
    )
    leased_by = fields.String(
        allow_none=True, metadata={"description": "the last worker; null: none yet"}
    )
    trace = fields.String(
        allow_none=True,
        metadata={"description": "request_id of the request that caused it; null: none did"},
    )
    retry_of = StrictInteger(
        allow_none=True,
        metadata={"description": "the dead letter that was retried; null: it is no retry"},
    )
    dead_letter = StrictInteger(
        allow_none=True, metadata={"description": "its open dead letter; null: it has none"}
    )


class DoubtPage(PageByUUID):
    """A page of payments in doubt."""

    older_than = QueryInteger(
        most=10**8, load_default=60, metadata={"description": "seconds without news"}
    )


class Doubt(Answer):
    """A payment whose outcome at the gateway is not known."""

    id = fields.UUID(metadata={"description": "the payment's id"})
    event_id = StrictInteger()
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = OneOf(BOOKING_STATE)
    buyer_id = StrictInteger()
    state = OneOf(PAYMENT_STATE, metadata={"description": "the payment's"})
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    gateway_id = fields.String(
        attribute="gateway_ref",
        allow_none=True,
        metadata={"description": "its id at the gateway; null: not known"},
    )
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()
    task_id = StrictInteger(
        allow_none=True, metadata={"description": "the task that asks the gateway; null: none"}
    )
    dead_letter = StrictInteger(
        allow_none=True, metadata={"description": "its open dead letter; null: it has none"}
    )


class MailPage(PageByUUID):
    """A page of e-mails."""

    state = OneOf(MAIL_FILTER, load_default="failed", metadata={"description": "which are listed"})
    older_than = QueryInteger(
        most=10**8, load_default=0, metadata={"description": "seconds since it was written"}
    )


class Mail(Answer):
    """An e-mail, without its recipient, who is named in the booking."""

    id = fields.UUID(metadata={"description": "the mail's id"})
    event_id = StrictInteger(allow_none=True, metadata={"description": "null: about no event"})
    booking_id = fields.UUID(allow_none=True, metadata={"description": "null: about no booking"})
    buyer_id = StrictInteger()
    template = OneOf(MAIL_TEMPLATE)
    state = OneOf(MAIL_STATE)
    attempts = StrictInteger(metadata={"description": "how often it was tried"})
    last_error = fields.String(
        allow_none=True, metadata={"description": "of the last attempt; null: none failed"}
    )
    created_at = fields.AwareDateTime()


@blp.route("/tasks")
@needs("tasks.read")
@blp.paginated(Task, TaskPage)
def list_tasks(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Durable tasks that are not done, the oldest first."""
    return outbox.list_tasks(conn, **page)


@blp.route("/payments-in-doubt")
@needs("payments.read")
@blp.paginated(Doubt, DoubtPage)
def list_payments_in_doubt(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Payments whose outcome at the gateway has not been known for longer than it should take;
    latest first."""
    return payments.list_doubts(conn, **page)


@blp.route("/emails-in-trouble")
@needs("platform_mails.read")
@blp.paginated(Mail, MailPage, reads="refused mails read")
def list_unsent_mails(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """E-mails that were refused or are not sent yet, latest first."""
    return emails.list_troubled(conn, **page)
