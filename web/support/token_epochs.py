"""Which tokens of buyers were ended before their time, without asking the database for each.

A token names the epoch of its account, which is 0 until tokens of the account are ended (that is
at the first sign-in by a mailed code: the account may have been made by another person).
Few accounts have another, so each process keeps them all and reads what is new every few seconds.
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
"""What is committed later than this after its time would be missed."""

log = structlog.get_logger()


@dataclass(frozen=True)
class TokenEpochs:
    """By account the epoch that its tokens must have, 0 for all others; read up to `since`."""

    least: dict[int, int] = field(default_factory=dict)
    since: datetime | None = None

    def after(self, readings: Iterable[EpochReading]) -> "TokenEpochs":
        """With what was read since."""
        news = [r for r in readings if self.least.get(r["id"]) != r["token_epoch"]]
        if not news:
            return self
        least = self.least | {r["id"]: r["token_epoch"] for r in news}
        return TokenEpochs(least, max(r["tokens_ended_at"] for r in news) - LATE)

    def refuse_ended(self, account_id: int, epoch: int) -> None:
        """Errors: NotSignedIn."""
        if epoch < self.least.get(account_id, 0):
            raise NotSignedIn("This token was ended: sign in again.")


def keep_epochs(app: Flask) -> None:
    app.extensions["token_epochs"] = Snapshots(_read, seconds=OLDEST, most=1)


def current_epochs() -> TokenEpochs:
    """At most ten seconds old, older only while the database is away."""
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
