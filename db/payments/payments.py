"""Payments: attempts to pay for a booking, and the steps of its saga.

Every change is a compare-and-set that names the expected state and the attempt. The functions
return whether it took place.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.connections import Conn, many, maybe, one
from db.payments import time_limits
from db.payments.decline_limits import check_buyer
from db.payments.reviews import NO_FACTS, Facts
from db.queries import load
from db.runtime.errors import Conflict, NotFound

sql = load("payments/payments")


@dataclass(frozen=True)
class PaymentProgress:
    """The progress of a booking and its latest attempt to pay; payment_id None: no attempt.

    can_be_authorised: the method can be authorised before the capture. overdue: the gateway has
    been processing the payment for too long. For the others see db/payments/time_limits.py.
    key_too_old: the idempotency key is not trusted any more. just_sent: the request may still
    arrive. lapsing: the authorisation lapses soon. gateway_gone: the gateway has been away for so
    long that the seats do not wait. too_late: the method is charged at once, no answer is known,
    and the charge is not sent any more.
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
    """A payment as the gateway has it. Amounts in minor units, currency in capitals.

    state: one of Usher's ('authorised', 'captured', 'requires_action', 'processing', 'failed',
    'voided'). was_authorised: before it was voided, though it was not recorded then.
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
    was_authorised: bool = False


def start_payment(
    conn: Conn,
    event_id: int,
    booking_id: UUID,
    buyer_id: int,
    method: str,
    payment_method: str | None,
    return_url: str,
    address_hash: bytes | None = None,
) -> dict[str, Any]:
    """Start a payment of a held booking: {payment_id, booking_state}.

    method: one of the event's payment_methods, or 'offline'; payment_method: the gateway's id of
    the buyer's card or bank account, None for offline; return_url: where the bank sends the buyer
    back to; address_hash: of the buyer's network address, None: unknown.
    Errors: NotFound; Conflict with a reason of REFUSALS; TooManyTries.
    """
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    values |= {"method": method, "payment_method": payment_method, "return_url": return_url}
    started = _start_payment(conn, values | {"address_hash": address_hash})
    check_buyer(conn, event_id, buyer_id, method, address_hash)
    return started


def sell_offline(conn: Conn, event_id: int, booking_id: UUID, buyer_id: int) -> dict[str, Any]:
    """Start an offline payment that the organisation asks for: it knows the buyer, whose address
    need not be verified. Otherwise as start_payment."""
    values = {"event_id": event_id, "booking_id": booking_id, "buyer_id": buyer_id}
    values |= {"method": "offline", "payment_method": None, "return_url": ""}
    return _start_payment(conn, values | {"address_hash": None})


def _start_payment(conn: Conn, values: dict[str, Any]) -> dict[str, Any]:
    row = one(conn.execute(sql.start_payment, values))
    if row["outcome"] == "no_booking":
        raise NotFound
    if row["outcome"] != "started":
        raise Conflict(REFUSALS[row["outcome"]], row["outcome"], state=row["booking_state"])
    return {"payment_id": row["payment_id"], "booking_state": row["booking_state"]}


REFUSALS = {
    "payment_in_progress": "An earlier attempt to pay is still under way: wait for its outcome.",
    "not_held": "Only a held booking can be paid for.",
    "suspended": "The organisation does not sell at the moment.",
    "deadline_passed": "The time to pay is over; the seats are being released.",
    "no_such_method": "The event takes no such payment: see its payment_methods, offline_seconds.",
    "method_too_slow": "The event begins before this payment would be sure: choose another method.",
    "amount_not_possible": "This method cannot charge the amount: choose another method.",
}


def get_progress(
    conn: Conn, event_id: int, booking_id: UUID | str, payment_id: UUID | str | None = None
) -> PaymentProgress:
    """Read the progress of a booking and its latest attempt, or the given one. Errors: NotFound."""
    found = _list_progress(conn, [(event_id, booking_id, payment_id)])
    if not found:
        raise NotFound
    return found[0]


def list_progress(conn: Conn, bookings: list[tuple[int, UUID | str]]) -> list[PaymentProgress]:
    """Read the progress of bookings, each by its event and id, and of their latest attempts."""
    return _list_progress(conn, [(event_id, booking, None) for event_id, booking in bookings])


def _list_progress(
    conn: Conn, wanted: list[tuple[int, UUID | str, UUID | str | None]]
) -> list[PaymentProgress]:
    events, bookings, payments = map(list, zip(*wanted, strict=True))
    values = {"event_ids": events, "booking_ids": bookings, "payment_ids": payments}
    return [PaymentProgress(**row) for row in conn.execute(sql.list_progress, values | TIME_LIMITS)]


TIME_LIMITS = {
    "key_trusted": time_limits.KEY_TRUSTED,
    "on_its_way": time_limits.ON_ITS_WAY,
    "lapses_soon": time_limits.LAPSES_SOON,
    "charge_late": time_limits.CHARGE_LATE,
    "seats_wait": time_limits.SEATS_WAIT,
}


def mark_sent(conn: Conn, event_id: int, payment_id: UUID) -> None:
    conn.execute(sql.mark_sent, {"event_id": event_id, "payment_id": payment_id})


def record(conn: Conn, progress: PaymentProgress, outcome: PaymentOutcome) -> bool:
    """Record what the gateway said, if the payment's state is still that of `progress`."""
    outcomes = _as_json([(progress, outcome)])
    return maybe(conn.execute(sql.record_outcomes, {"outcomes": outcomes})) is not None


Answer = tuple[PaymentProgress, PaymentOutcome]
"""A payment as it was read, and what the gateway said since."""


def secure_group(conn: Conn, answers: list[Answer]) -> dict[UUID, str]:
    """Record payments that were authorised and secure their bookings, or begin their reviews:
    'secured' or 'review' by payment. One that is missing has changed since it was read, and was
    left as it is."""
    rows = conn.execute(sql.secure_group, {"outcomes": _as_json(answers)})
    return {row["payment_id"]: row["became"] for row in rows}


def issue_group(conn: Conn, answers: list[Answer]) -> set[UUID]:
    """Record payments that were captured and confirm their bookings; the payments. One that is
    missing has changed since it was read, and was left as it is."""
    rows = conn.execute(sql.issue_group, {"outcomes": _as_json(answers)})
    return {row["payment_id"] for row in rows}


def _as_json(answers: list[Answer]) -> Jsonb:
    return Jsonb([_row(*answer) for answer in answers], dumps=partial(json.dumps, default=str))


def _row(progress: PaymentProgress, outcome: PaymentOutcome) -> dict[str, Any]:
    """An outcome as sql/functions/payments/record_outcomes.sql reads it."""
    return {
        "event_id": progress.event_id,
        "booking_id": progress.booking_id,
        "payment_id": progress.payment_id,
        "expected": progress.payment_state,
        "state": outcome.state,
        "authorised": outcome.was_authorised or outcome.state in ("authorised", "captured"),
        "gateway_ref": outcome.gateway_ref or None,
        "captured": outcome.captured,
        "currency": outcome.currency or None,
        "next_action": outcome.next_action or None,
        "client_secret": outcome.client_secret,
        "failure_code": outcome.failure_code,
        "failure_message": outcome.failure_message,
        **vars(outcome.facts),
        "card_checks": outcome.facts.card_checks or None,
    }


def refund_unexpected(conn: Conn, progress: PaymentProgress, reason: str) -> None:
    """Refund an unexpected payment, once, and tell the buyer."""
    values = {"event_id": progress.event_id, "payment_id": progress.payment_id}
    conn.execute(sql.refund_unexpected, values | {"reason": reason})


def use_next_key(conn: Conn, progress: PaymentProgress) -> None:
    """Change the idempotency key: the gateway has done nothing under the present one."""
    values = {"payment_id": progress.payment_id, "idempotency_n": progress.idempotency_n}
    conn.execute(sql.use_next_key, values)


def secure_booking(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.secure_booking, progress)


def secure_or_review(conn: Conn, progress: PaymentProgress) -> str | None:
    """Secure the booking of an authorised payment, or begin a review: 'secured' or 'review'. None:
    another transaction was first, and nothing was changed.
    """
    values = {name: getattr(progress, name) for name in ("event_id", "booking_id", "payment_id")}
    became: str | None = one(conn.execute(sql.secure_or_review, values))["became"]
    return became


def confirm_booking(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.confirm_bookings, progress)


def await_buyer(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.await_buyer, progress)


def reopen_booking(conn: Conn, progress: PaymentProgress) -> bool:
    return _done(conn, sql.reopen_booking, progress)


def end_booking(conn: Conn, progress: PaymentProgress, state: str, reason: str) -> bool:
    """End the booking, from the state in which it was read; its seats are released."""
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
    """Payments in doubt that have not changed for `older_than` seconds, with their bookings, tasks
    and open dead letters; the latest first."""
    values = {"older_than": older_than, "limit": limit, "starting_after": starting_after}
    return many(conn.execute(sql.list_doubts, values))
