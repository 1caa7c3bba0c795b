"""Buyers' tokens that were ended before they expired, known without a query for each request.

A token names the epoch of its account. The epoch is 0 until tokens of the account are ended; this
happens at the first sign-in by a mailed code, since another person may have made the account. Few
accounts have another epoch than 0, so each process keeps all of those and reads new ones every few
seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
import structlog
from flask import Flask, current_app
from psycopg_pool import PoolTimeout

from db.accounts import accounts
from db.accounts.accounts import EpochReading
from db.connections import autocommit
from db.runtime.errors import NotSignedIn
from web.support.snapshots import Snapshots

OLDEST = 10.0  # seconds
LATE = timedelta(minutes=1)
"""Seconds by which a commit may come after the row's time and still be read."""

log = structlog.get_logger()


@dataclass(frozen=True)
class TokenEpochs:
    """The epoch that tokens must have, by account, 0 for all others; read up to `since`."""

    least: dict[int, int] = field(default_factory=dict)
    since: datetime | None = None

    def after(self, readings: Iterable[EpochReading]) -> "TokenEpochs":
        """These epochs with later readings added."""
        news = [r for r in readings if self.least.get(r["id"]) != r["token_epoch"]]
        if not news:
            return self
        least = self.least | {r["id"]: r["token_epoch"] for r in news}
        return TokenEpochs(least, max(r["tokens_ended_at"] for r in news) - LATE)

    def has_ended(self, account_id: int, epoch: int) -> bool:
        return epoch < self.least.get(account_id, 0)

    def refuse_ended(self, account_id: int, epoch: int) -> None:
        """Errors: NotSignedIn."""
        if self.has_ended(account_id, epoch):
            raise NotSignedIn("This token was ended: sign in again.")


def keep_epochs(app: Flask) -> None:
    app.extensions["token_epochs"] = Snapshots(_read, seconds=OLDEST, most=1)


def current_epochs() -> TokenEpochs:
    """The epochs, at most ten seconds old, or older while the database is away."""
    kept: Snapshots[TokenEpochs] = current_app.extensions["token_epochs"]
    return kept.get(0)


def _read(_: int, before: TokenEpochs | None) -> TokenEpochs:
    known = before or TokenEpochs()
    try:
        with autocommit() as conn:
            return known.after(accounts.list_epochs(conn, known.since))
    except (psycopg.OperationalError, PoolTimeout) as error:
        if before is None:
            raise
        log.warning("old token epochs", error=type(error).__name__)
        return before
