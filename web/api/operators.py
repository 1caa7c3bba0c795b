"""Lists for operators: tasks, payments in doubt, unsent e-mails, the audit log."""

from typing import Any

from marshmallow import fields, validate

from db.accounts import audit_log
from db.connections import Conn
from db.durable import outbox
from db.mail import emails
from db.payments import payments
from web.support.auth import operators_only
from web.support.blueprint import Blueprint
from web.support.fields import QueryInteger, Schema, StrictInteger, Text
from web.support.pages import Page, PageByUUID

blp = Blueprint(
    "operators", __name__, url_prefix="/v1", description="Tasks and logs of the service"
)


class TaskPage(Page):
    state = Text(
        validate=validate.OneOf(["due", "leased", "waiting", "failing"]),
        metadata={"description": "failing: tried without success"},
    )
    actor = Text()
    event_id = QueryInteger(least=1)


class Task(Schema):
    id = StrictInteger()
    actor = fields.String()
    queue = fields.String()
    key = fields.String(allow_none=True)
    args = fields.Dict()
    event_id = StrictInteger(allow_none=True)
    priority = StrictInteger()
    state = fields.String(metadata={"description": "due, leased or waiting"})
    created_at = fields.AwareDateTime()
    run_at = fields.AwareDateTime()
    sends = StrictInteger(metadata={"description": "messages sent since its last lease"})
    claims = StrictInteger(metadata={"description": "leases without an outcome"})
    failures = StrictInteger()
    last_error = fields.String(allow_none=True)
    lease_until = fields.AwareDateTime(allow_none=True)
    leased_by = fields.String(allow_none=True, metadata={"description": "the last worker"})
    trace = fields.String(allow_none=True)
    retry_of = StrictInteger(allow_none=True)
    dead_letter = StrictInteger(
        allow_none=True, metadata={"description": "its open dead letter, if any"}
    )


class DoubtPage(PageByUUID):
    older_than = QueryInteger(
        most=10**8, load_default=60, metadata={"description": "seconds without news"}
    )


class Doubt(Schema):
    id = fields.UUID()
    event_id = StrictInteger()
    booking_id = fields.UUID()
    booking_code = fields.String()
    booking_state = fields.String()
    buyer_id = StrictInteger()
    state = fields.String()
    amount = StrictInteger(metadata={"description": "in minor units"})
    currency = fields.String()
    gateway_id = fields.String(attribute="gateway_ref", allow_none=True)
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()
    task_id = StrictInteger(
        allow_none=True, metadata={"description": "the task that asks the gateway, if any"}
    )
    dead_letter = StrictInteger(
        allow_none=True, metadata={"description": "its open dead letter, if any"}
    )


class MailPage(PageByUUID):
    state = Text(validate=validate.OneOf(["failed", "pending"]), load_default="failed")
    older_than = QueryInteger(
        most=10**8, load_default=0, metadata={"description": "seconds since it was written"}
    )


class Mail(Schema):
    """An e-mail, without its recipient, who is named in the booking."""

    id = fields.UUID()
    event_id = StrictInteger(allow_none=True)
    booking_id = fields.UUID(allow_none=True)
    buyer_id = StrictInteger()
    template = fields.String()
    state = fields.String()
    attempts = StrictInteger()
    last_error = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()


class AuditPage(Page):
    actor = Text(metadata={"description": "role and id, as in operator:3"})
    action = Text()
    starting_after = QueryInteger(least=1)


class Act(Schema):
    id = StrictInteger()
    at = fields.AwareDateTime()
    actor = fields.String()
    action = fields.String()
    event_id = StrictInteger(allow_none=True)
    detail = fields.Dict()


@blp.route("/tasks")
@operators_only
@blp.paginated(Task, TaskPage)
def list_tasks(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Durable tasks that are not done, the oldest first."""
    return outbox.list_tasks(conn, **page)


@blp.route("/payments-in-doubt")
@operators_only
@blp.paginated(Doubt, DoubtPage)
def list_doubts(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Payments whose outcome at the gateway has not been known for longer than it should take;
    latest first."""
    return payments.list_doubts(conn, **page)


@blp.route("/emails-in-trouble")
@operators_only
@blp.paginated(Mail, MailPage)
def list_mails(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """E-mails that were refused or are not sent yet, latest first."""
    return emails.list_troubled(conn, **page)


@blp.route("/audit")
@operators_only
@blp.paginated(Act, AuditPage)
def list_acts(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Changes by organisers and operators, latest first."""
    return audit_log.list_acts(conn, **page)
