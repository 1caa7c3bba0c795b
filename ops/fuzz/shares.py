"""The run divided among processes: each has a database, a world and a part of the operations.

An operation is sent by one process, and sequences by all. Which process sends what follows from the
seed and the number of processes alone, so the same two make the same run again.
"""

import os
import secrets
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from random import Random
from typing import Any

from flask import Flask
from schemathesis.engine import events

from db.connections import Conn, pool
from db.maintenance.invariants import violations
from db.runtime.sealing import make_key
from ops.fuzz.run import Sender, Size, send
from ops.fuzz.tally import Failure, Tally, read_reasons
from ops.fuzz.world import World
from ops.local.servers import connected
from web.app import create_app

EXTRA, MOST_EXTRA = Size(examples=40), 4
"""A round for operations that did not succeed often enough, and how many of them at most."""


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


# In the process that started the others


@dataclass(frozen=True)
class Told:
    """How far a process is: its requests so far, and failures since it told the last time."""

    cases: int
    failures: list[Failure]


def send_all(shares: Sequence[Share], say: Callable[[str], object]) -> Tally:
    """Send all shares at the same time; what was counted by all. Each kind of failure is told when
    it is first seen. Errors: RuntimeError, when a process cannot go on."""
    whole, cases, seen = Tally(), Counter[int](), set[tuple[str, str, str]]()
    with started(shares) as readers:
        while readers:
            for reader in wait(list(readers)):
                told = receive(reader)
                if isinstance(told, Tally):
                    whole.add(told)
                    del readers[reader]
                    continue
                cases[readers[reader]] = told.cases
                for failure in told.failures:
                    if failure.kind not in seen:
                        seen.add(failure.kind)
                        say("\n".join([failure.text, *failure.details()]))
                say(f"{cases.total():,} requests, {len(seen):,} kinds of failures")
    return whole


def receive(reader: Any) -> Any:
    """How far a process is, or at its end its whole Tally."""
    try:
        told = reader.recv()
    except EOFError:
        raise RuntimeError("A process ended without a word.") from None
    if isinstance(told, str):
        raise RuntimeError(f"A process cannot go on:\n{told}")
    return told


@contextmanager
def started(shares: Sequence[Share]) -> Iterator[dict[Any, int]]:
    """A process for each share; they end with the block."""
    context, processes, readers = get_context("spawn"), [], {}
    try:
        for share in shares:
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=send_share, args=(share, writer), daemon=True)
            process.start()
            processes.append(process)
            writer.close()
            readers[reader] = share.number
        yield readers
    finally:
        for process in processes:
            process.terminate()
            process.join()


# In each of the others


def send_share(share: Share, writer: Connection) -> None:
    """Send a share; write how far it is, and at the end the Tally, or the error's text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    os.environ.update(environment(share.database_url, share.redis_url))
    try:
        app = create_app()
        with connected(share.database_url) as conn:
            tally = send_rounds(share, app, conn, writer.send)
        pool().close()
        writer.send(tally)
    except Exception:
        writer.send(traceback.format_exc())


def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """Limits are off: all requests come from one address."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": secrets.token_urlsafe(32),
        "ENCRYPTION_KEYS": make_key("fuzz"),
        "STRIPE_API_KEY": "sk_test_nothing_is_sent",
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_urlsafe(24)}",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "RATE_LIMITS": "off",
        "GATEWAY_LIMIT": "1000",
        "LOG_LEVEL": "error",
    }


def send_rounds(share: Share, app: Flask, conn: Conn, tell: Callable[[Told], object]) -> Tally:
    tally, dice, told = Tally(), Random(share.seed), 0
    sender = Sender(World(conn, dice), dice)
    for number, size in enumerate(choose_rounds(share, tally)):
        for event in send(app, sender, share.seed + number, size):
            if isinstance(event, events.Interrupted) or is_alone():
                sys.exit("Stopped.")
            tally.take(event, sender.roles)
            if isinstance(event, events.ScenarioFinished):
                tell(Told(tally.cases, tally.failures[told:]))
                told = len(tally.failures)
        sender.forget()
    tally.violations += [f"{found}" for found in violations(conn)]
    return tally


def is_alone() -> bool:
    """Whether the process that started this one has died."""
    parent = parent_process()
    return parent is not None and not parent.is_alive()


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
