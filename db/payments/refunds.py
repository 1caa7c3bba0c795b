"""Refunds, which organisers ask for, or which send unexpected payments back.

Every change is a compare-and-set that names the expected state.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.accounts import organisations
from db.bookings import archives
from db.catalogue import events
from db.connections import Conn, many, maybe, one
from db.payments import time_limits
from db.payments.disputes import Case
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound

sql = load("payments/refunds")


@dataclass(frozen=True)
class RefundProgress:
    """The progress of a refund. Amount in minor units, currency in capitals.

    payment_gateway_ref, gateway_account_id, provider: of the refunded payment.
    """

    refund_id: UUID
    event_id: int
    booking_id: UUID
    state: str
    cause: str
    amount: int
    currency: str
    params: dict[str, Any]
    idempotency_n: int
    gateway_ref: str | None
    payment_gateway_ref: str
    gateway_account_id: int
    provider: str
    key_too_old: bool
    just_sent: bool


@dataclass(frozen=True)
class RefundOutcome:
    """A refund as the gateway has it. state: one of Usher's, pending, succeeded or failed."""

    state: str
    gateway_ref: str | None
    amount: int
    currency: str
    failure_code: str | None = None
    failure_message: str | None = None


def request_refund(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, asked: dict[str, Any]
) -> dict[str, Any]:
    """Refund tickets, which are void from then on, or an amount alone. An archived booking is
    restored.

    asked: {tickets: ids or None, amount: minor units or None, with_fees, resell, reason}.
    Returns {refund: see list_refunds, None if no money is refunded; booking_state; returned: ids
    of the tickets that are void now}.
    Errors: NotFound; Conflict disputed, not_confirmed, more_than_captured or suspended;
    InvalidRequest.
    """
    organisations.refuse_suspended(conn, scope)
    values = asked | {"event_id": event_id, "scope": scope, "booking_id": booking_id}
    row = one(conn.execute(sql.request_refund, values))
    if row["outcome"] == "no_booking":
        events.check_owner(conn, scope, event_id)
        if archives.restore_booking(conn, event_id, booking_id):
            row = one(conn.execute(sql.request_refund, values))
    if row["outcome"] != "done":
        raise _refusal(row)
    refund = find_refund(conn, event_id, booking_id, row["refund_id"]) if row["refund_id"] else None
    return {
        "refund": refund,
        "booking_state": row["booking_state"],
        "returned": row["returned"] or [],
    }


def _refusal(row: dict[str, Any]) -> NotFound | Conflict | InvalidRequest:
    if row["outcome"] == "no_booking":
        return NotFound()
    if row["outcome"] == "no_such_tickets":
        message = "Some of these are not valid tickets of the booking; nothing was changed."
        return InvalidRequest(message, path="tickets", reason="no_such_tickets")
    if row["outcome"] == "not_a_multiple":
        message = "This amount cannot be paid in this currency: it is not a multiple of its step."
        return InvalidRequest(message, path="amount", reason="not_a_multiple")
    if row["outcome"] == "too_much":
        message = f"Only {row['available']} of the payment can still be refunded."
        return Conflict(message, "more_than_captured", available=row["available"])
    state = row["booking_state"]
    if row["outcome"] == "disputed":
        return Conflict("The buyer's bank has the money: the dispute decides.", "disputed")
    return Conflict(f"A booking that is {state} has no tickets to give back.", "not_confirmed")


def settle_owed(
    conn: Conn,
    scope: int | None,
    event_id: int,
    booking_id: UUID,
    refund_id: UUID,
    settlement: str | None,
) -> dict[str, Any]:
    """Settle an owed refund that was paid otherwise; settlement None: try it again, as another one.

    Returns the other refund, or the settled one. Errors: NotFound; Conflict not_owed,
    more_than_captured or suspended.
    """
    organisations.refuse_suspended(conn, scope)
    values: dict[str, Any] = {"event_id": event_id, "scope": scope, "booking_id": booking_id}
    values |= {"refund_id": refund_id, "settlement": settlement}
    row = one(conn.execute(sql.settle_owed, values))
    if row["outcome"] == "no_refund":
        raise NotFound
    if row["outcome"] == "too_much":
        raise Conflict("Less than this amount can still be refunded.", "more_than_captured")
    if row["outcome"] != "done":
        raise Conflict("Only a refund that failed and is still owed can be settled.", "not_owed")
    return find_refund(conn, event_id, booking_id, row["refund_id"])


def find_refund(conn: Conn, event_id: int, booking_id: UUID, refund_id: UUID) -> dict[str, Any]:
    """Errors: NotFound."""
    rows = _list(conn, event_id=event_id, booking_id=booking_id, refund_id=refund_id)
    if not rows:
        raise NotFound
    return rows[0]


def list_refunds(conn: Conn, scope: int | None, event_id: int, booking_id: UUID) -> dict[str, Any]:
    """The money of a booking, also of an archived one: {booking_state, currency, captured,
    refunded, available, owed, refunds: the latest first}.

    Errors: NotFound.
    """
    balance = _read_balance(conn, scope, event_id, booking_id)
    if balance is None:
        events.check_owner(conn, scope, event_id)
        with archives.as_it_was(conn, event_id, booking_id):
            balance = _read_balance(conn, scope, event_id, booking_id)
    if balance is None:
        raise NotFound
    return balance


def _read_balance(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID
) -> dict[str, Any] | None:
    values = {"event_id": event_id, "booking_id": booking_id, "scope": scope}
    balance = maybe(conn.execute(sql.get_balance, values))
    return balance and balance | {"refunds": _list(conn, event_id=event_id, booking_id=booking_id)}


def list_event_refunds(
    conn: Conn,
    scope: int | None,
    event_id: int,
    *,
    owed: bool,
    starting_after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Refunds of an event, the latest first; with `owed` only those that are owed.

    Errors: NotFound.
    """
    events.check_owner(conn, scope, event_id)
    return _list(conn, event_id=event_id, owed=owed, starting_after=starting_after, limit=limit)


def _list(conn: Conn, **wanted: Any) -> list[dict[str, Any]]:
    values = dict.fromkeys(("booking_id", "refund_id", "starting_after", "limit"))
    return many(conn.execute(sql.list_refunds, values | {"owed": False} | wanted))


def get_progress(conn: Conn, refund_id: UUID | str) -> RefundProgress:
    """Read the progress of a refund and lock it. Errors: NotFound."""
    limits = {"key_trusted": time_limits.KEY_TRUSTED, "on_its_way": time_limits.ON_ITS_WAY}
    row = maybe(conn.execute(sql.get_progress, {"refund_id": refund_id} | limits))
    if row is None:
        raise NotFound
    return RefundProgress(**row)


def mark_sent(conn: Conn, refund_id: UUID) -> None:
    conn.execute(sql.mark_sent, {"refund_id": refund_id})


def use_next_key(conn: Conn, progress: RefundProgress) -> None:
    """Change the idempotency key: the gateway has done nothing under the present one."""
    values = {"refund_id": progress.refund_id, "idempotency_n": progress.idempotency_n}
    conn.execute(sql.use_next_key, values)


def record(conn: Conn, progress: RefundProgress, outcome: RefundOutcome) -> bool:
    """Record what the gateway said, if the refund's state is still that of `progress`."""
    values = {
        "refund_id": progress.refund_id,
        "expected": progress.state,
        "state": outcome.state,
        "gateway_ref": outcome.gateway_ref,
        "failure_code": outcome.failure_code,
        "failure_message": outcome.failure_message,
    }
    return maybe(conn.execute(sql.record, values)) is not None


def lock_booking(conn: Conn, progress: RefundProgress) -> None:
    """Lock the refund's booking. Every decision locks the booking before the refund."""
    values = {"event_id": progress.event_id, "booking_id": progress.booking_id}
    conn.execute(sql.lock_booking, values)


def is_owed(conn: Conn, progress: RefundProgress) -> bool:
    """Tell whether a refund that has just failed is owed: not if a lost dispute has taken the
    money. The booking is locked."""
    values = {"refund_id": progress.refund_id}
    conn.execute(sql.settle_by_disputes, values)
    return bool(one(conn.execute(sql.is_owed, values))["owed"])


def adopt(conn: Conn, case: Case, outcome: RefundOutcome) -> str:
    """Adopt a refund that was made in the dashboard: 'adopted' (the buyer is told), 'known',
    'failed' (no money has moved), 'not_yet' (its payment has not ended here) or 'too_much'."""
    values = {
        "event_id": case.event_id,
        "payment_id": case.payment_id,
        "gateway_ref": outcome.gateway_ref,
        "state": outcome.state,
        "amount": outcome.amount,
        "currency": outcome.currency,
    }
    return str(one(conn.execute(sql.adopt_refund, values))["outcome"])


def tell_buyer(conn: Conn, progress: RefundProgress, template: str = "refunded") -> None:
    """Write a mail about the refund to the buyer: that the money is on its way, or another."""
    values = {"event_id": progress.event_id, "refund_id": progress.refund_id}
    conn.execute(sql.tell_of_refund, values | {"template": template})
