"""Mails of bookings, for organisers: what was refused, the right address, and sending again."""

from typing import Any
from uuid import UUID

from marshmallow import fields

from db.accounts.audit_log import audit
from db.catalogue import events
from db.connections import Conn, transaction
from db.mail import emails
from db.runtime.errors import Conflict
from web.support.blueprint import Blueprint
from web.support.callers import caller, needs
from web.support.enumerations import MAIL_STATE, MAIL_TEMPLATE
from web.support.fields import Answer, Email, OneOf, Schema
from web.support.pages import PageByUUID

blp = Blueprint(
    "emails", __name__, url_prefix="/v1/events/<id:event_id>", description="Mails of bookings"
)

BOOKING = "/bookings/<uuid:booking_id>"


class RefusedMail(Answer):
    """A mail that the recipient's mail server refused for good."""

    id = fields.UUID(metadata={"description": "the mail's id"})
    booking_id = fields.UUID()
    booking_code = fields.String()
    template = OneOf(MAIL_TEMPLATE)
    email = fields.String(metadata={"description": "where the booking's mails go"})
    reason = fields.String(
        allow_none=True,
        metadata={"description": "the mail server's answer; null: it gave none"},
    )
    created_at = fields.AwareDateTime()


class WaitingMail(Answer):
    """A mail that is on its way."""

    id = fields.UUID(metadata={"description": "the mail's id"})
    template = OneOf(MAIL_TEMPLATE)
    state = OneOf(MAIL_STATE)
    created_at = fields.AwareDateTime()


class Address(Schema):
    """The right address of a booking."""

    email = Email(
        required=True, metadata={"description": "where the mails shall go", "format": "email"}
    )


class CurrentAddress(Answer):
    """Where the mails of a booking go."""

    email = fields.String(metadata={"description": "the address"})
    corrected = fields.Boolean(
        metadata={"description": "by the organiser; false: it is the buyer's own"}
    )


class MailsOnTheirWay(Answer):
    """It says no address, since answers to keys are kept."""

    emails = fields.List(fields.Nested(WaitingMail), metadata={"description": "those mails"})


class CorrectedAddress(CurrentAddress, MailsOnTheirWay):
    """The address, and the mails that go to it now."""


@blp.route("/emails-in-trouble")
@needs("mails.read")
@blp.paginated(RefusedMail, PageByUUID, reads="refused mails read")
def list_refused_mails(conn: Conn, page: dict[str, Any], event_id: int) -> list[dict[str, Any]]:
    """Mails to buyers of the event that did not arrive, latest first."""
    events.check_owner(conn, caller().scope, event_id)
    return emails.list_refused(conn, event_id, **page)


@blp.route(f"{BOOKING}/address")
@needs("addresses.read")
@blp.response(200, CurrentAddress)
def get_booking_address(event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Where the mails of a booking go."""
    with transaction(caller().name) as conn:
        events.check_owner(conn, caller().scope, event_id)
        found = emails.get_address(conn, event_id, booking_id)
        act = {"booking_id": str(booking_id)}
        audit(conn, "booking address read", event_id, act, account_id=found["buyer_id"])
        return found


@blp.route(f"{BOOKING}/address", methods=["PUT"])
@needs("addresses.write")
@blp.arguments(Address, example={"email": "ana.lima@example.org"})
@blp.response(200, CorrectedAddress)
def correct_booking_address(
    given: dict[str, str], event_id: int, booking_id: UUID
) -> dict[str, Any]:
    """Correct the address that the mails of a booking go to. Those that were refused, and that with
    the tickets, are sent again. The buyer's account keeps its own address."""
    with transaction(caller().name) as conn:
        events.check_owner(conn, caller().scope, event_id)
        emails.correct_address(conn, event_id, booking_id, given["email"])
        emails.resend(conn, event_id, booking_id)
        waiting = emails.list_waiting(conn, event_id, booking_id)
        return emails.get_address(conn, event_id, booking_id) | {"emails": waiting}


@blp.route(f"{BOOKING}/emails", methods=["POST"])
@needs("mails.resend")
@blp.idempotent(MailsOnTheirWay, 202)
@blp.conflicts("nothing_to_send")
def resend_mails(conn: Conn, event_id: int, booking_id: UUID) -> dict[str, Any]:
    """Send the mail with the tickets of a booking again, and those that were refused."""
    events.check_owner(conn, caller().scope, event_id)
    emails.get_address(conn, event_id, booking_id)
    emails.resend(conn, event_id, booking_id)
    waiting = emails.list_waiting(conn, event_id, booking_id)
    if not waiting:
        message = "This booking has no tickets, and none of its mails was refused."
        raise Conflict(message, "nothing_to_send")
    return {"emails": waiting}
