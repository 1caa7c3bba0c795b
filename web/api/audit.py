"""The audit log, for operators, and for each organisation its own part."""

from typing import Any

from marshmallow import fields

from db.accounts import audit_log
from db.accounts.organisations import get_organisation
from db.connections import Conn
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.fields import Answer, QueryInteger, StrictInteger, Text
from web.support.pages import Page

blp = Blueprint("audit", __name__, url_prefix="/v1", description="Who did what, and when")


class AuditPage(Page):
    """A page of the audit log."""

    actor = Text(metadata={"description": "role and id, as in operator:3"})
    action = Text(metadata={"description": "only this action, as in lane changed"})
    event_id = QueryInteger(least=1, metadata={"description": "only acts about this event"})
    account_id = QueryInteger(least=1, metadata={"description": "only acts about this account"})
    starting_after = QueryInteger(least=1, metadata={"description": "the last id you have"})


class Act(Answer):
    """What staff, an organiser, an operator or a task did, or read of persons."""

    id = StrictInteger(metadata={"description": "the act's id"})
    at = fields.AwareDateTime(metadata={"description": "when"})
    actor = fields.String(metadata={"description": "role and id, as in operator:3"})
    action = fields.String(metadata={"description": "what was done, as in lane changed"})
    organisation_id = StrictInteger(
        allow_none=True, metadata={"description": "whose act log it is in; null: the platform's"}
    )
    event_id = StrictInteger(allow_none=True, metadata={"description": "null: about no event"})
    account_id = StrictInteger(
        allow_none=True, metadata={"description": "whom it is about; null: no account, or many"}
    )
    detail = fields.Dict(
        metadata={
            "description": "what it was about, and changes as {from, to}; its keys depend on action"
        }
    )
    erased = fields.Boolean(
        metadata={"description": "personal values were in detail, and were erased"}
    )
    number = StrictInteger(
        allow_none=True,
        metadata={"description": "of its link in the chain; null: not chained yet, in a second"},
    )


@blp.route("/audit")
@needs("platform_audit.read")
@blp.paginated(Act, AuditPage, reads="audit log read")
def list_audit_log(conn: Conn, page: dict[str, Any]) -> list[dict[str, Any]]:
    """Acts of all organisations and of operators, latest first."""
    return audit_log.list_acts(conn, **page)


@blp.route("/organisations/<id:organisation_id>/audit")
@needs("audit.read")
@blp.paginated(Act, AuditPage, reads="audit log read")
def list_acts(conn: Conn, page: dict[str, Any], organisation_id: int) -> list[dict[str, Any]]:
    """Acts of an organisation, and of operators in it, latest first."""
    get_organisation(conn, caller().scope, organisation_id)
    return audit_log.list_acts_of(conn, organisation_id, **page)
