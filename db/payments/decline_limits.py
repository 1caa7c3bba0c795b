"""How many payments may be declined before further ones are not tried: card numbers are tested
where declines cost nothing."""

from functools import cache
from typing import NamedTuple
from uuid import UUID

from limits import parse
from psycopg.types.json import Jsonb

from db.connections import Conn, one
from db.queries import load
from db.runtime.errors import Conflict, TooManyTries

sql = load("payments/decline_limits")

DECLINES = {
    "account": "5 per 15 minutes",
    "address": "20 per 15 minutes",
    "event": "100 per 15 minutes",
}
"""By what is counted. What is paid raises the limits of its account and address. That of an event
counts among its latest 200 payments; while it is reached, accounts whose address is not verified
have one decline. Declines of a card are counted by the review rule card_declines."""


RETRY_AFTER = 900  # seconds


@cache
def decline_limits() -> Jsonb:
    """The limits as sql/functions/payments/decline_room.sql reads them."""
    parsed = {by: parse(text) for by, text in DECLINES.items()}
    return Jsonb({by: [limit.amount, limit.get_expiry()] for by, limit in parsed.items()})


def check_buyer(
    conn: Conn, event_id: int, buyer_id: int, method: str, address_hash: bytes | None
) -> None:
    """Refuse an attempt to pay of a buyer who may not make one. Errors: TooManyTries; Conflict
    address_not_verified."""
    if method == "offline":
        refuse_unverified(conn, buyer_id)
    else:
        refuse_many_declines(conn, event_id, buyer_id, address_hash)


def refuse_many_declines(
    conn: Conn, event_id: int, buyer_id: int, address_hash: bytes | None
) -> None:
    """Refuse another attempt to pay where too many were declined. Errors: TooManyTries."""
    values = {"event_id": event_id, "buyer_id": buyer_id, "address_hash": address_hash}
    row = one(conn.execute(sql.decline_room, values | {"limits": decline_limits()}))
    if row["verdict"] == "refuse":
        raise TooManyTries(
            "Too many payments were declined. Try again later; if your e-mail address is not"
            " verified yet, sign in by a mailed code first.",
            reason="too_many_declines",
            retry_after=RETRY_AFTER,
        )


def refuse_unverified(conn: Conn, buyer_id: int) -> None:
    """Refuse a buyer whose address is not verified, since seats are held for days. Errors:
    Conflict."""
    if not one(conn.execute(sql.is_verified, {"buyer_id": buyer_id}))["verified"]:
        raise Conflict(
            "To pay offline, verify your e-mail address: sign in by the code that POST /v1/tokens"
            " mails to you.",
            "address_not_verified",
        )


class Admission(NamedTuple):
    """Whether an attempt may be sent to the gateway.

    verdict: 'go', 'wait' or 'refuse'. seconds: until it is looked at again; None: it does not wait.
    """

    verdict: str
    seconds: float | None


def admit_attempt(conn: Conn, event_id: int, payment_id: UUID | None) -> Admission:
    """Whether an attempt may be sent to the gateway now, in the transaction that marks it as
    sent."""
    values = {"event_id": event_id, "payment_id": payment_id, "limits": decline_limits()}
    return Admission(**one(conn.execute(sql.admit_attempt, values)))


def send_attempts(conn: Conn, attempts: list[tuple[int, UUID | None]]) -> set[UUID]:
    """Mark those attempts as sent that may be sent to the gateway now; each is given by its event
    and id."""
    events, payments = map(list, zip(*attempts, strict=True))
    values = {"event_ids": events, "payment_ids": payments, "limits": decline_limits()}
    return {row["payment_id"] for row in conn.execute(sql.send_attempts, values)}
