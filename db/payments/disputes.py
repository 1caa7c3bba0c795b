"""Disputes: a buyer's bank takes money back until it has decided. Fraud warnings come before."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.catalogue import events
from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("payments/disputes")


@dataclass(frozen=True)
class Case:
    """The payment of a dispute, and its gateway account."""

    event_id: int
    payment_id: UUID
    gateway_account_id: int
    provider: str


@dataclass(frozen=True)
class Dispute:
    """A dispute as the gateway has it. state: the gateway's own word. Amount in minor units."""

    id: str
    state: str
    reason: str
    amount: int
    currency: str
    respond_by: datetime | None


def find_case(conn: Conn, payment_id: UUID | str) -> Case:
    """Find the payment of a dispute. Errors: NotFound."""
    row = maybe(conn.execute(sql.find_case, {"payment_id": payment_id}))
    if row is None:
        raise NotFound
    return Case(**row)


def record_dispute(conn: Conn, case: Case, dispute: Dispute) -> str | None:
    """Record the dispute and change its booking, whose state is returned; None: the booking is
    being confirmed, and nothing was changed."""
    values = vars(dispute) | {"event_id": case.event_id, "payment_id": case.payment_id}
    row = one(conn.execute(sql.record_dispute, values))
    return None if row["outcome"] == "not_yet" else str(row["booking_state"])


def freeze_for_fraud_warning(conn: Conn, event_id: int, payment_id: UUID | str) -> str | None:
    """Record a fraud warning and freeze the booking, whose state is returned; None: the booking is
    being confirmed, and nothing was changed."""
    values = {"event_id": event_id, "payment_id": payment_id}
    state: str | None = one(conn.execute(sql.freeze_for_fraud_warning, values))["booking_state"]
    return state


def dismiss_fraud_warning(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, reason: str
) -> dict[str, Any]:
    """Dismiss a fraud warning: {booking_state}, which stays 'frozen' while a dispute is open.

    Errors: NotFound; Conflict not_frozen or disputed.
    """
    values = {"event_id": event_id, "scope": scope, "booking_id": booking_id, "reason": reason}
    row = one(conn.execute(sql.dismiss_fraud_warning, values))
    if row["outcome"] == "no_booking":
        raise NotFound
    if row["outcome"] == "disputed":
        raise Conflict("The buyer's bank has the money: the dispute decides.", "disputed")
    if row["outcome"] == "not_frozen":
        raise Conflict("The booking is not frozen.", "not_frozen")
    return {"booking_state": row["booking_state"]}


def list_disputes(
    conn: Conn, scope: int | None, event_id: int, starting_after: str | None, limit: int
) -> list[dict[str, Any]]:
    """An event's, latest first. Errors: NotFound."""
    events.check_owner(conn, scope, event_id)
    values = {"event_id": event_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_disputes, values))


def list_warnings(
    conn: Conn, scope: int | None, event_id: int, starting_after: str | None, limit: int
) -> list[dict[str, Any]]:
    """An event's, latest first. Errors: NotFound."""
    events.check_owner(conn, scope, event_id)
    values = {"event_id": event_id, "starting_after": starting_after, "limit": limit}
    return many(conn.execute(sql.list_warnings, values))
