"""Queue tokens and passes, both signed.

A queue token holds a buyer's entry and number, so that polls and streams are answered without the
database. It only allows reading, so it may be in a URL. A pass allows choosing seats; wrong passes
are refused without the database.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from db.runtime.errors import NotAllowed, NotSignedIn
from web.support.signing import read_own, sign, verify

GOOD_FOR = timedelta(hours=24)


@dataclass(frozen=True)
class QueueToken:
    """An entry's buyer, event and number; number 0 means in the lobby, before its draw."""

    event_id: int
    entry_id: UUID
    number: int
    buyer_id: int


def sign_queue_token(queue_token: QueueToken, since: datetime | None = None) -> str:
    """Sign a queue token that expires 24 hours after `since` (default: now)."""
    claims = {
        "exp": (since or datetime.now(UTC)) + GOOD_FOR,
        "sub": str(queue_token.buyer_id),
        "event": queue_token.event_id,
        "entry": str(queue_token.entry_id),
        "number": queue_token.number,
    }
    return sign(claims, "queue")


def read_queue_token(token: str, event_id: int) -> QueueToken:
    """Verify a queue token. Errors: NotSignedIn (wrong, expired, or of another event)."""
    try:
        queue_token = _queue_token(verify(token, "queue", ["event", "entry", "number"]))
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotSignedIn("This queue ticket is wrong or has expired: read your entry.") from error
    if queue_token.event_id != event_id:
        raise NotSignedIn("This queue ticket is for another event.")
    return queue_token


def read_own_queue_token(token: str, event_id: int) -> QueueToken | None:
    """A queue token of the event, if that is certain at once. None: `read_queue_token` says what is
    wrong, if anything is."""
    claims = read_own(token, "queue")
    try:
        queue_token = _queue_token(claims) if claims else None
    except (KeyError, ValueError):
        return None
    return queue_token if queue_token and queue_token.event_id == event_id else None


def _queue_token(claims: dict[str, Any]) -> QueueToken:
    return QueueToken(claims["event"], UUID(claims["entry"]), claims["number"], int(claims["sub"]))


@dataclass(frozen=True)
class Pass:
    """The right to choose seats until a time. The entry's row tells whether it was used."""

    event_id: int
    entry_id: UUID
    buyer_id: int
    until: datetime


def sign_pass(queue_pass: Pass) -> str:
    claims = {
        "exp": queue_pass.until,
        "sub": str(queue_pass.buyer_id),
        "event": queue_pass.event_id,
        "entry": str(queue_pass.entry_id),
    }
    return sign(claims, "pass")


def read_pass(token: str, event_id: int, buyer_id: int) -> UUID:
    """The entry of a pass. Whether the pass is still good is read from the entry's row later, since
    a repeated request gets its first answer even after the pass has expired.

    Errors: NotAllowed (wrong, or for another event or buyer).
    """
    try:
        claims = verify(token, "pass", ["event", "entry"], check_time=False)
        entry_id = UUID(claims["entry"])
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotAllowed("This is not a valid pass.") from error
    if claims["event"] != event_id or claims["sub"] != str(buyer_id):
        raise NotAllowed("This pass is for another event or another buyer.")
    return entry_id
