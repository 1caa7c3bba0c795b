"""The relay: tells Dramatiq's workers what is due.

Every 50 ms it looks for due rows of outbox and sends messages that name them, and for lanes with
something to decide. It writes nothing but when to send again, so a lost message is simply repeated,
and any number of relays may run.
"""

import threading
from collections.abc import Iterator

import dramatiq
import structlog

from db.connections import refuse_transaction, transaction
from db.durable import outbox
from db.queue import lanes
from db.runtime.faults import reach
from db.runtime.settings import settings
from tasks.durable.broker import broker
from tasks.durable.leases import policies
from tasks.durable.process import run_until_stopped
from tasks.main import QUEUES, drain

log = structlog.get_logger()

TICK = 0.05
OUTSTANDING = 500
"""Messages waiting in Redis per queue, at most: more would only be sent again before their turn."""


def run(stop: threading.Event) -> None:
    """Relay until told to stop; neither Redis nor Postgres need be there all the time."""
    troubled = False
    while not stop.wait(TICK):
        try:
            relay_once()
            if troubled:
                log.info("relaying again")
            troubled = False
        except Exception as error:  # whatever it is, the rows are still there
            if not troubled:
                log.warning("cannot relay just now", error=f"{type(error).__name__}: {error}")
            troubled = True
            stop.wait(0.5)


def relay_once() -> None:
    """Send messages for what is due, as far as the queues have room."""
    for queue in QUEUES:
        room = OUTSTANDING - waiting(queue)
        if room > 0:
            with transaction() as conn:
                due = outbox.take_due(conn, queue, room)
            for message in messages(due):
                send(message)
    if waiting(drain.queue_name) == 0:
        with transaction() as conn:
            work = lanes.any_work(conn, settings().saga_backlog)
        if work:
            send(drain.message())


def send(message: dramatiq.Message[None]) -> None:
    refuse_transaction()
    reach("before message")
    broker.enqueue(message)
    reach("after message")


def waiting(queue: str) -> int:
    """Messages in Redis that no worker has fetched."""
    length = broker.client.llen(f"{broker.namespace}:{queue}")
    assert isinstance(length, int)
    return length


def messages(due: list[outbox.DueTask]) -> Iterator[dramatiq.Message[None]]:
    """One message for as many tasks of an actor as its policy allows. One over which a worker may
    have died has a message of its own, and after two deaths it is alone in its process as well.
    """
    by_actor: dict[str, list[int]] = {}
    for task in sorted(due, key=lambda task: (task.priority, task.id)):
        if task.actor not in policies:
            log.error("no such actor; is another version of Usher running?", actor=task.actor)
        elif task.claims:
            actor = broker.get_actor(task.actor)
            yield actor.message_with_options(args=([task.id],), alone=task.in_quarantine)
        else:
            by_actor.setdefault(task.actor, []).append(task.id)
    for name, ids in by_actor.items():
        size = policies[name].batch
        for start in range(0, len(ids), size):
            yield broker.get_actor(name).message(ids[start : start + size])


if __name__ == "__main__":
    run_until_stopped("relay", run, redis=True)
