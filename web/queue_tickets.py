"""Queue tickets: signed tokens that say which entry and number somebody has, so that polls and
streams can be answered without the database. Good for looking only, hence also in a URL."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from db.errors import NotSignedIn
from db.settings import settings

GOOD_FOR = timedelta(hours=24)
AUDIENCE = "queue"


@dataclass(frozen=True)
class QueueTicket:
    """Whose place in which queue; number 0 is in the lobby, which gives no numbers yet."""

    event_id: int
    entry_id: UUID
    number: int
    buyer_id: int


def sign_ticket(ticket: QueueTicket, since: datetime | None = None) -> str:
    """A token that expires 24 hours after `since`, which is now if nothing is said."""
    claims = {
        "aud": AUDIENCE,
        "exp": (since or datetime.now(UTC)) + GOOD_FOR,
        "sub": str(ticket.buyer_id),
        "event": ticket.event_id,
        "entry": str(ticket.entry_id),
        "number": ticket.number,
    }
    return jwt.encode(claims, settings().secret_key, algorithm="HS256")


def read_ticket(token: str, event_id: int) -> QueueTicket:
    """Errors: NotSignedIn (wrong, expired, or of another event)."""
    try:
        claims = jwt.decode(
            token,
            settings().secret_key,
            algorithms=["HS256"],
            audience=AUDIENCE,
            options={"require": ["aud", "exp", "sub", "event", "entry", "number"]},
        )
        ticket = QueueTicket(
            claims["event"], UUID(claims["entry"]), claims["number"], int(claims["sub"])
        )
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotSignedIn("This queue ticket is wrong or has expired: read your entry.") from error
    if ticket.event_id != event_id:
        raise NotSignedIn("This queue ticket is of another event.")
    return ticket
