"""The run divided among processes: each has a database, a world and a part of the operations.

An operation is sent by one process, and sequences by all. Which process sends what follows from the
seed and the number of processes alone, so the same two make the same run again.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from flask import Flask
from schemathesis.engine import events

from db.connections import Conn, pool
from db.maintenance.invariants import violations
from ops.fuzz.run import Sender, Size, send
from ops.fuzz.tally import Tally, read_reasons
from ops.fuzz.world import World
from ops.local.servers import connected
from web.app import create_app

EXTRA, MOST_EXTRA = Size(examples=40), 4
"""A round for operations that did not succeed often enough, and how many of them at most."""

# Set in each process by `share_counters`: requests and failures so far, by the share's number.
_counters: Any = None


@dataclass(frozen=True)
class Share:
    """What one process sends: `rounds`, the last of them again until there are `cases`, then at
    most so many extra ones. operations: those that it sends one at a time; it sends `others` in
    sequences alone."""

    number: int
    seed: int
    cases: int
    operations: tuple[str, ...]
    others: tuple[str, ...]
    rounds: tuple[Size, ...]
    extra: int
    database_url: str
    redis_url: str


def divide(operations: Sequence[str], processes: int) -> list[tuple[str, ...]]:
    return [tuple(operations[number::processes]) for number in range(processes)]


def share_counters(counters: Any) -> None:
    global _counters
    _counters = counters


def send_share(share: Share) -> Tally:
    """Send a share, in a process of its own."""
    os.environ.update(environment(share.database_url, share.redis_url))
    app = create_app()
    with connected(share.database_url) as conn:
        try:
            return send_rounds(share, app, conn)
        finally:
            pool().close()


def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """Limits are off: all requests come from one address."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": secrets.token_urlsafe(32),
        "STRIPE_API_KEY": "sk_test_nothing_is_sent",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_urlsafe(24)}",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "RATE_LIMITS": "off",
        "GATEWAY_LIMIT": "1000",
        "LOG_LEVEL": "error",
    }


def send_rounds(share: Share, app: Flask, conn: Conn) -> Tally:
    tally, dice = Tally(), Random(share.seed)
    sender = Sender(World(conn, dice), dice)
    for number, size in enumerate(choose_rounds(share, tally)):
        for event in send(app, sender, share.seed + number, size):
            if isinstance(event, events.Interrupted):
                raise KeyboardInterrupt
            tally.take(event, sender.roles)
            if _counters is not None:
                _counters[2 * share.number] = tally.cases
                _counters[2 * share.number + 1] = len(tally.failures)
        sender.forget()
    tally.violations += [f"{found}" for found in violations(conn)]
    return tally


def choose_rounds(share: Share, tally: Tally) -> Iterator[Size]:
    """The rounds of a share; then more for operations that did not succeed often enough."""
    for size in share.rounds:
        yield replace(size, left_out=share.others)
    while share.rounds and tally.cases < share.cases:
        yield replace(share.rounds[-1], left_out=share.others)
    for _ in range(share.extra):
        lacking = tally.lacking(share.operations, read_reasons())
        if not lacking:
            return
        left_out = {*share.operations, *share.others} - {*lacking}
        yield replace(EXTRA, left_out=tuple(sorted(left_out)))
