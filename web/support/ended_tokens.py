"""Tokens that were ended before they expired, known without a query for each request.

A token names its session, and the epoch of its account. An access token lives for an hour, so each
process keeps the sessions that ended within the last hour, and reads new ones every few seconds.
The epoch is 0 until all tokens of the account are ended; this happens at the first sign-in by a
mailed code, since another person may have made the account. Few accounts have another epoch than 0,
so each process keeps all of those.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
import structlog
from flask import Flask, current_app
from psycopg_pool import PoolTimeout

from db.accounts import accounts, sessions
from db.accounts.accounts import EpochReading
from db.accounts.sessions import EndedReading
from db.connections import autocommit
from db.runtime.errors import NotSignedIn
from web.support.sessions import Session
from web.support.snapshots import Snapshots

OLDEST = 10.0  # seconds
LATE = timedelta(minutes=1)
"""By how much a commit may come after the row's time and still be read."""
KEPT = timedelta(minutes=70)
"""How long a session is kept after its end: access tokens live for an hour, clocks differ."""

log = structlog.get_logger()


@dataclass(frozen=True)
class EndedTokens:
    """The epoch that tokens must have, by account, 0 for all others, read up to `since`; and when
    sessions have ended, read up to `sessions_since`."""

    least: dict[int, int] = field(default_factory=dict)
    since: datetime | None = None
    sessions: dict[int, datetime] = field(default_factory=dict)
    sessions_since: datetime | None = None

    def after(
        self, epochs: Iterable[EpochReading], ended: Iterable[EndedReading] = ()
    ) -> "EndedTokens":
        """These with later readings added, and without sessions that ended long before those."""
        raised = [r for r in epochs if self.least.get(r["id"]) != r["token_epoch"]]
        news = [r for r in ended if r["id"] not in self.sessions]
        least, since = self.least, self.since
        if raised:
            least = least | {r["id"]: r["token_epoch"] for r in raised}
            since = max(r["tokens_ended_at"] for r in raised) - LATE
        known, latest = self.sessions, self.sessions_since
        if news:
            latest = max(r["ended_at"] for r in news) - LATE
            oldest = latest + LATE - KEPT
            known = {id: at for id, at in known.items() if at > oldest}
            known |= {r["id"]: r["ended_at"] for r in news}
        return EndedTokens(least, since, known, latest) if raised or news else self

    def has_ended(self, session: Session) -> bool:
        if session.id is not None:
            return session.id in self.sessions
        return session.epoch < self.least.get(session.account_id, 0)

    def refuse_ended(self, session: Session) -> None:
        """Errors: NotSignedIn."""
        if self.has_ended(session):
            raise NotSignedIn("This session was ended: sign in again.")


def keep_ended_tokens(app: Flask) -> None:
    app.extensions["ended_tokens"] = Snapshots(_read, seconds=OLDEST, most=1)


def current_ended_tokens() -> EndedTokens:
    """What was ended, at most ten seconds old, or older while the database is away."""
    kept: Snapshots[EndedTokens] = current_app.extensions["ended_tokens"]
    return kept.get(0)


def _read(_: int, before: EndedTokens | None) -> EndedTokens:
    known = before or EndedTokens()
    try:
        with autocommit() as conn:
            return known.after(
                accounts.list_epochs(conn, known.since),
                sessions.list_ended(conn, known.sessions_since),
            )
    except (psycopg.OperationalError, PoolTimeout) as error:
        if before is None:
            raise
        log.warning("old list of ended tokens", error=type(error).__name__)
        return before
