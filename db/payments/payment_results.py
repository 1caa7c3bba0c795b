"""How a payment went, for the page to which banks send buyers: they come without a token."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.connections import Conn, maybe
from db.presentation.amounts import Currency, written
from db.presentation.gateway_words import tell_failure
from db.presentation.moments import moment
from db.queries import load
from db.runtime.errors import NotFound

sql = load("payments/payment_results")


@dataclass(frozen=True)
class PaymentResult:
    """What the page says. kind: see RESULTS; failure: the reason of a payment that failed, in our
    words; deadline: until when the buyer may pay otherwise; both written for people."""

    kind: str
    code: str
    event: str
    starts_at: str
    venue: str
    total: str
    failure: str | None
    deadline: str | None


RESULTS = {
    "confirmed": "paid",
    "frozen": "paid",
    "secured": "waiting",
    "authorising": "waiting",
    "expiring": "waiting",
    "review": "review",
    "held": "unpaid",
    "expired": "released",
    "cancelled": "released",
    "failed": "released",
}
"""The kind of result, by the booking's state."""


def get_result(conn: Conn, event_id: int, booking_id: UUID) -> PaymentResult:
    """How the latest payment of a booking went. Errors: NotFound."""
    values = {"event_id": event_id, "booking_id": booking_id}
    row = maybe(conn.execute(sql.get_result, values))
    if row is None:
        raise NotFound
    failure = tell_failure(row["failure_code"]) if row["payment_state"] == "failed" else None
    currency = Currency(row["currency"], row["exponent"], row["step"])
    return PaymentResult(
        kind=_kind(row),
        code=row["code"],
        event=row["event"],
        starts_at=_said(row["starts_at"], row),
        venue=row["venue"],
        total=written(row["total"], currency),
        failure=failure["message"] if failure else None,
        deadline=_said(row["deadline"], row) if row["deadline"] else None,
    )


def _kind(row: dict[str, Any]) -> str:
    """A debit is waiting for days, and what was confirmed once was given back."""
    kind = RESULTS[row["state"]]
    if kind == "waiting" and row["method"] == "offline":
        return "offline"
    if kind == "waiting" and row["payment_state"] == "processing":
        return "processing"
    return "given_back" if kind == "released" and row["was_confirmed"] else kind


def _said(at: datetime, row: dict[str, Any]) -> str:
    return moment(at.isoformat(), row["time_zone"])
