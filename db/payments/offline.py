"""Offline payments, at the box office or by bank transfer: the organiser's word is the truth."""

from typing import Any
from uuid import UUID

from db.accounts import organisations
from db.catalogue import events
from db.connections import Conn, many, maybe, one
from db.payments import payments, refunds
from db.presentation.booking_codes import plain_code
from db.queries import load
from db.runtime.errors import Conflict, InvalidRequest, NotFound

sql = load("payments/offline")


def find_payment(conn: Conn, payment_id: UUID | None) -> dict[str, Any] | None:
    """What the organiser said: {cancelled_at, reference, amount, currency}; the last three are
    None until it is marked as paid."""
    return maybe(conn.execute(sql.find_payment, {"payment_id": payment_id}))


def cancel(conn: Conn, progress: payments.PaymentProgress) -> None:
    """Give a payment up, unless it was marked as paid before."""
    values = {"event_id": progress.event_id, "payment_id": progress.payment_id}
    conn.execute(sql.give_up_offline, values)


def is_refunded(conn: Conn, progress: refunds.RefundProgress) -> bool:
    """Tell whether the organiser marked the refund as paid."""
    return maybe(conn.execute(sql.find_refund, {"refund_id": progress.refund_id})) is not None


def record_payment(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, receipt: dict[str, Any]
) -> dict[str, Any]:
    """Mark a booking as paid; the saga confirms it. The same receipt again changes nothing.

    receipt: {reference, amount, currency}. Returns {payment_id, late}; late: the booking had ended,
    and the money is refunded. Errors: NotFound; Conflict not_offline, already_paid, partly_paid,
    payment_ending, wrong_money; InvalidRequest (another payment has the reference).
    """
    values = receipt | {"event_id": event_id, "scope": scope, "booking_id": booking_id}
    row = one(conn.execute(sql.record_offline_payment, values))
    outcome = row["outcome"]
    if outcome == "no_booking":
        raise NotFound
    if outcome == "reference_used":
        message = "Another payment has this reference: each receipt pays for one booking."
        raise InvalidRequest(message, path="reference", reason="reference_used")
    if outcome == "wrong_money":
        message = f"The booking costs {row['amount']} {row['currency']}: nothing was recorded."
        raise Conflict(message, "wrong_money", amount=row["amount"], currency=row["currency"])
    if outcome != "done":
        raise Conflict(REFUSALS[outcome], outcome)
    return {"payment_id": row["payment_id"], "late": row["late"]}


REFUSALS = {
    "not_offline": "The buyer has not chosen to pay this booking offline.",
    "already_paid": "It is marked as paid under another reference: refund this money yourself.",
    "partly_paid": "A part of it has come already: record the rest as a transfer.",
    "payment_ending": "Its time is over, and it is just being ended: try again in a minute.",
}


def record_transfer(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, transfer: dict[str, Any]
) -> dict[str, Any]:
    """Record money of any amount that came for a booking; the same transfer again changes nothing.

    transfer: {reference, amount, currency}. Returns the transfer, see list_transfers. Errors:
    NotFound; Conflict with a reason of TRANSFER_REFUSALS; InvalidRequest (another transfer has the
    reference).
    """
    values = transfer | {"event_id": event_id, "scope": scope, "booking_id": booking_id}
    row = one(conn.execute(sql.record_transfer, values))
    outcome = row["outcome"]
    if outcome == "no_booking":
        raise NotFound
    if outcome == "reference_used":
        message = "Another transfer has this reference: give the bank's own, which is unique."
        raise InvalidRequest(message, path="reference", reason="reference_used")
    if outcome != "done":
        raise Conflict(TRANSFER_REFUSALS[outcome], outcome)
    return _get_transfer(conn, event_id, row["transfer_id"])


TRANSFER_REFUSALS = {
    "not_offline": REFUSALS["not_offline"],
    "payment_ending": REFUSALS["payment_ending"],
    "wrong_currency": "The booking costs another currency: nothing was recorded.",
}


def decide_surplus(
    conn: Conn, scope: int | None, event_id: int, transfer_id: UUID, decided: dict[str, str]
) -> dict[str, Any]:
    """Write down what became of a transfer's surplus: {decision: refunded or kept, how}. Returns
    the transfer, see list_transfers.

    Errors: NotFound; Conflict with a reason of SURPLUS_REFUSALS, or suspended.
    """
    organisations.refuse_suspended(conn, scope)
    values: dict[str, Any] = {"event_id": event_id, "scope": scope, "transfer_id": transfer_id}
    outcome = one(conn.execute(sql.decide_surplus, values | decided))["outcome"]
    if outcome == "no_transfer":
        raise NotFound
    if outcome != "done":
        raise Conflict(SURPLUS_REFUSALS[outcome], outcome)
    return _get_transfer(conn, event_id, transfer_id)


SURPLUS_REFUSALS = {
    "no_surplus": "The booking took all of this transfer: refund the booking instead.",
    "surplus_decided": "It was decided otherwise before.",
}


def _get_transfer(conn: Conn, event_id: int, transfer_id: UUID) -> dict[str, Any]:
    values = {"event_id": event_id, "transfer_id": transfer_id}
    return one(conn.execute(sql.get_transfer, values))


def list_transfers(
    conn: Conn, scope: int | None, event_id: int, wanted: dict[str, Any]
) -> list[dict[str, Any]]:
    """Transfers of an event, the latest first. wanted: {undecided: only those with a surplus that
    is not decided, starting_after or None, limit}. Errors: NotFound.
    """
    events.check_owner(conn, scope, event_id)
    return many(conn.execute(sql.list_transfers, wanted | {"event_id": event_id}))


def record_refund(
    conn: Conn, scope: int | None, event_id: int, booking_id: UUID, refund_id: UUID, how: str
) -> dict[str, Any]:
    """Mark a refund as paid, and return it, see list_refunds.

    Errors: NotFound; Conflict not_offline, not_pending or suspended.
    """
    organisations.refuse_suspended(conn, scope)
    values: dict[str, Any] = {"event_id": event_id, "scope": scope, "booking_id": booking_id}
    values |= {"refund_id": refund_id, "how": how}
    outcome = one(conn.execute(sql.record_offline_refund, values))["outcome"]
    if outcome == "no_refund":
        raise NotFound
    if outcome == "not_offline":
        raise Conflict("The gateway pays this refund, and reports it.", "not_offline")
    if outcome == "not_pending":
        raise Conflict("Only a refund that is pending can be marked as paid.", "not_pending")
    return refunds.find_refund(conn, event_id, booking_id, refund_id)


def list_payments(
    conn: Conn, scope: int | None, event_id: int, wanted: dict[str, Any]
) -> list[dict[str, Any]]:
    """Offline payments of an event, the latest first. wanted: {code or None, waiting,
    starting_after or None, limit}; code: the reference of a transfer, as the bank shows it;
    waiting: only those that are not paid yet. Errors: NotFound.
    """
    events.check_owner(conn, scope, event_id)
    code = wanted["code"] and plain_code(wanted["code"])
    return many(conn.execute(sql.list_payments, wanted | {"event_id": event_id, "code": code}))
