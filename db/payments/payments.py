"""Payments: attempts to pay for a booking, and the steps of its saga.

Every change is a compare-and-set that names the state it expects and the attempt; the functions
return whether it took place.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.payments import time_limits
from db.payments.reviews import NO_FACTS, Facts
from db.queries import load
from db.runtime.errors import Conflict, NotFound
from db.runtime.settings import settings

sql = load("payments/payments")


@dataclass(frozen=True)
class PaymentProgress:
    """How far a booking and its present attempt to pay have come; no attempt: payment_id None.

    can_be_authorised: the money can be reserved before it is taken. overdue: the gateway has been
    processing it for too long. The others as db/payments/time_limits.py says. key_too_old: not
    trusted any more. just_sent: it may still arrive. lapsing: soon not reserved any more.
    gateway_gone: its seats do not wait. too_late: it is to be charged at once, and no answer to
    that is known.
    """

    event_id: int
    booking_id: UUID
    booking_state: str
    booking_reason: str | None
    buyer_id: int
    total: int
    currency: str
    payment_id: UUID | None
    payment_state: str | None
    gateway_account_id: int
    provider: str
    method: str
    can_be_authorised: bool
    amount: int
    payment_currency: str
    params: dict[str, Any]
    idempotency_n: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    gateway_ref: str | None
    key_too_old: bool | None
    just_sent: bool | None
    overdue: bool | None
    lapsing: bool | None
    too_late: bool
    gateway_gone: bool


@dataclass(frozen=True)
class PaymentOutcome:
    """What the gateway says a payment is. Amounts in minor units, currency in capitals.

    state: one of ours ('authorised', 'captured', 'requires_action', 'processing', 'failed',
    'voided').
    """

    state: str
    gateway_ref: str
    amount: int
    currency: str
    captured: int = 0
    next_action: dict[str, Any] | None = None
    client_secret: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    facts: Facts = NO_FACTS


def start_payment(
    conn: Conn,
    event_id: int,
    booking_id: UUID,
    buyer_id: int,
    method: str,
    payment_method: str | None,
    address_hash: bytes | None = None,
) -> dict[str, Any]:
    """Begin to pay for a held booking: {payment_id, booking_state}.

    method: one of the event's payment_methods, or 'offline'; payment_method: what the gateway calls
    the buyer's card or account, None offline; address_hash: where the buyer is, None: unknown.
    Errors: NotFound; Conflict with reason payment_in_progress, not_held, deadline_passed or
    no_such_method.
    """
    link = f"{settings().public_url}/v1/events/{event_id}/bookings/{booking_id}"
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    values |= {"method": method, "payment_method": payment_method, "return_url": link}
    values |= {"address_hash": address_hash}
    row = one(conn.execute(sql.start_payment, values))
    if row["outcome"] == "no_booking":
        raise NotFound
    if row["outcome"] != "started":
        raise Conflict(REFUSALS[row["outcome"]], row["outcome"], state=row["booking_state"])
    return {"payment_id": row["payment_id"], "booking_state": row["booking_state"]}


REFUSALS = {
    "payment_in_progress": "An earlier attempt to pay is still under way: wait for its outcome.",
    "not_held": "Only a held booking can be paid for.",
    "deadline_passed": "The time to pay is over; the seats are being released.",
    "no_such_method": "The event takes no such payment: see its payment_methods, offline_seconds.",
}


def get_progress(
    conn: Conn, event_id: int, booking_id: UUID | str, payment_id: UUID | str | None = None
) -> PaymentProgress:
    """With the present attempt to pay, unless another is named. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id, "payment_id": payment_id}
    row = maybe(conn.execute(sql.get_progress, values | TIME_LIMITS))
    if row is None:
        raise NotFound
    return PaymentProgress(**row)


TIME_LIMITS = {
    "key_trusted": time_limits.KEY_TRUSTED,
    "on_its_way": time_limits.ON_ITS_WAY,
    "lapses_soon": time_limits.LAPSES_SOON,
    "charge_late": time_limits.CHARGE_LATE,
    "seats_wait": time_limits.SEATS_WAIT,
}


def mark_sent(conn: Conn, payment_id: UUID) -> None:
    conn.execute(sql.mark_sent, {"payment_id": payment_id})


def record(conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome) -> bool:
    """Write down what the gateway said, unless the payment is not as `progress` has it any more."""
    values = {
        "payment_id": progress.payment_id,
        "expected": progress.payment_state,
        "state": outcome.state,
        "gateway_ref": outcome.gateway_ref or None,
        "captured": outcome.captured,
        "currency": outcome.currency or None,
        "next_action": Jsonb(outcome.next_action) if outcome.next_action else None,
        "client_secret": outcome.client_secret,
        "failure_code": outcome.failure_code,
        "failure_message": outcome.failure_message,
        **vars(outcome.facts),
        "card_checks": Jsonb(outcome.facts.card_checks) if outcome.facts.card_checks else None,
    }
    return maybe(conn.execute(sql.record, values)) is not None


def refund_unexpected(conn: Conn, progress: PaymentProgress, reason: str) -> None:
    """Refund all that was captured, unless that was begun before; the buyer is told."""
    values = {"event_id": progress.event_id, "payment_id": progress.payment_id}
    conn.execute(sql.refund_unexpected, values | {"reason": reason})


def use_next_key(conn: Conn, progress: PaymentProgress) -> None:
    """Called when the gateway is known to have done nothing under the present key."""
    values = {"payment_id": progress.payment_id, "idempotency_n": progress.idempotency_n}
    conn.execute(sql.use_next_key, values)


def secure_booking(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.secure_booking, progress)


def secure_or_review(conn: Conn, progress: PaymentProgress) -> str | None:
    """The booking of an authorised payment is 'secured' now, or in 'review', where a person has to
    look first; None: another change was first, and nothing was changed.
    """
    values = {name: getattr(progress, name) for name in ("event_id", "booking_id", "payment_id")}
    became: str | None = one(conn.execute(sql.secure_or_review, values))["became"]
    return became


def confirm_booking(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.confirm_booking, progress)


def await_buyer(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.await_buyer, progress)


def reopen_booking(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.reopen_booking, progress)


def end_booking(conn: Conn, progress: PaymentProgress, state: str, reason: str) -> bool:
    """Move the booking from the state it was read in to its end; seats are released."""
    more = {"from_states": [progress.booking_state], "state": state, "reason": reason}
    return _done(conn, sql.end_booking, progress, more)


def _done(
    conn: Conn, statement: Any, progress: PaymentProgress, more: dict[str, Any] | None = None
) -> bool:
    values = {
        "event_id": progress.event_id,
        "booking_id": progress.booking_id,
        "payment_id": progress.payment_id,
        **(more or {}),
    }
    return bool(one(conn.execute(statement, values))["done"])


def list_doubts(
    conn: Conn, *, older_than: float, limit: int, starting_after: UUID | None = None
) -> list[dict[str, Any]]:
    """Payments that are at no end, and of which nothing was heard for `older_than` seconds, with
    their bookings, the task that finds out and the open dead letter; the latest first."""
    values = {"older_than": older_than, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_doubts, values))
