"""The relay: sends messages to Dramatiq's workers for due tasks.

Every 50 ms it asks whether anything was committed; if so, which queues have due rows of `outbox`,
and whether lanes have something to decide, and sends messages for them. It only writes when to send
again. So a lost message is sent again, and any number of relays may run.
"""

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import dramatiq
import structlog

from db.connections import Conn, autocommit, refuse_transaction
from db.durable import outbox
from db.queue import lanes
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.drain import drain
from tasks.durable.broker import broker
from tasks.durable.leases import policies
from tasks.durable.process import run_until_stopped
from tasks.main import QUEUES

log = structlog.get_logger()

TICK = 0.05
LONGEST_PAUSE = 0.25
"""Seconds after which the relay looks although nothing was committed: tasks and lanes become due
with time, too."""
OUTSTANDING = 500
"""The most messages that wait in Redis per queue; more would be sent again while they wait."""

SHARE = 20
"""The most messages of one gateway account that wait for a worker: 400 a second, since workers
fetch them within a tick while they have room. Others' payments wait behind them for as long as that
account's rate limit lets them through: so fewer than a worker has threads, even where each task has
a message of its own."""


def run(stop: threading.Event) -> None:
    """Relay until told to stop; Redis and Postgres may be away for a time."""
    troubled = False
    lookout = Lookout()
    while not stop.wait(TICK):
        try:
            if lookout.sees_change():
                relay_once()
            if troubled:
                log.info("relaying again")
            troubled = False
        except Exception as error:  # no task is lost: the rows are still there
            if not troubled:
                log.warning("relay failed", error=f"{type(error).__name__}: {error}")
            troubled = True
            stop.wait(0.5)


@dataclass
class Lookout:
    """What was visible in the database before the last look, and when that was."""

    snapshot: str = ""
    looked_at: float = 0.0

    def sees_change(self) -> bool:
        """Whether anything was committed since the last look, or that is too long ago. Then the
        next look is now."""
        with autocommit() as conn:
            snapshot = outbox.get_snapshot(conn)
        now = time.monotonic()
        if snapshot == self.snapshot and now - self.looked_at < LONGEST_PAUSE:
            return False
        self.snapshot, self.looked_at = snapshot, now
        return True


def relay_once() -> None:
    """Send messages for due tasks, as far as the queues have room, and for lanes."""
    with autocommit() as conn:
        due = outbox.list_due_queues(conn, QUEUES)
        work = lanes.any_work(conn, settings().saga_backlog)
    for queue, length in waiting_in(due).items():
        if length < OUTSTANDING:
            with autocommit() as conn:
                tasks = take_due(conn, queue, OUTSTANDING - length)
            for message in messages(tasks):
                send(message)
    if work and waiting(drain.queue_name) == 0:
        send(drain.message())


def take_due(conn: Conn, queue: str, room: int) -> list[outbox.DueTask]:
    if queue == "payments":
        return outbox.take_due_in_shares(conn, queue, room, SHARE)
    return outbox.take_due(conn, queue, room)


def send(message: dramatiq.Message[None]) -> None:
    refuse_transaction()
    reach("before message")
    broker.enqueue(message)
    reach("after message")


def waiting(queue: str) -> int:
    """Count the messages in Redis that no worker has fetched."""
    return waiting_in([queue])[queue]


def waiting_in(queues: Collection[str]) -> dict[str, int]:
    """Count them in each of these queues, in one round trip."""
    if not queues:
        return {}
    with broker.client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.llen(f"{broker.namespace}:{queue}")
        return dict(zip(queues, pipe.execute(), strict=True))


def messages(due: list[outbox.DueTask]) -> Iterator[dramatiq.Message[None]]:
    """Make one message for as many tasks of an actor, and of one gateway account, as its policy
    allows. A task over which a worker may have died has a message of its own; after two deaths it
    also runs alone.
    """
    together: dict[tuple[str, int | None], list[int]] = {}
    for task in sorted(due, key=lambda task: (task.priority, task.id)):
        if task.actor not in policies:
            log.error("unknown actor: is another version running?", actor=task.actor)
        elif task.claims:
            actor = broker.get_actor(task.actor)
            yield actor.message_with_options(args=([task.id],), alone=task.in_quarantine)
        else:
            together.setdefault((task.actor, task.gateway_account_id), []).append(task.id)
    for (name, _), ids in together.items():
        size = policies[name].batch
        for start in range(0, len(ids), size):
            yield broker.get_actor(name).message(ids[start : start + size])


if __name__ == "__main__":
    run_until_stopped("relay", run, redis=True)
