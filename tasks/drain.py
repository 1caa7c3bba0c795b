"""The drain: decides entries, lane by lane, in number order.

It is not a durable task: the lanes themselves show what is left to do, and the relay reads them.
"""

import time
from uuid import uuid4

import dramatiq
import psycopg
import structlog

from db.connections import Conn, transaction
from db.queue import lanes
from db.runtime.logs import bind_trace
from db.runtime.settings import settings
from tasks.durable.broker import broker
from tasks.durable.leases import told_to_stop
from tasks.durable.quarantine import quarantine

log = structlog.get_logger()

TIME_SLICE = 10
"""The time slice in seconds, after which a drain ends; the relay sends the next message."""


@dramatiq.actor(queue_name="drain", broker=broker, priority=-1)  # before payments that wait
def drain() -> None:
    """Serve lanes until there is nothing to decide."""
    bind_trace(f"drain-{uuid4().hex[:12]}")
    try:
        end = time.monotonic() + TIME_SLICE
        while time.monotonic() < end and not is_to_end() and serve_one_lane():
            pass
    finally:
        bind_trace(None)


def is_to_end() -> bool:
    """Whether the process is to stop, or a task waits to run alone in it."""
    return told_to_stop.is_set() or quarantine.is_asked_for()


def serve_one_lane() -> bool:
    """Decide one batch of the due lane. False: no lane is due."""
    event_id = None
    try:
        with transaction("drain") as conn:
            event_id = lanes.next_lane(conn, settings().saga_backlog)
            if event_id is None:
                return False
            decide(conn, event_id, settings().drain_batch)
    except psycopg.OperationalError:
        raise  # Postgres is away or restarting: the entries are not the cause
    except psycopg.Error as error:
        assert event_id is not None
        halve(event_id, settings().drain_batch // 2, error)
    return True


def halve(event_id: int, batch: int, error: psycopg.Error) -> None:
    """Decide a batch that one entry spoils in smaller ones, and dead-letter that entry."""
    while True:
        log.warning("batch failed", event_id=event_id, next_batch=batch, error=str(error))
        try:
            with transaction("drain") as conn:
                if lanes.lock_lane(conn, event_id):
                    if batch > 1:
                        decide(conn, event_id, batch)
                    else:
                        drain_or_dead_letter(conn, event_id)
            return
        except psycopg.OperationalError:
            raise
        except psycopg.Error as next_error:
            batch, error = batch // 2, next_error


def drain_or_dead_letter(conn: Conn, event_id: int) -> None:
    """Decide one entry, or dead-letter it: under one lock, so that it is surely the same one."""
    try:
        with conn.transaction():
            decide(conn, event_id, 1)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        log.error("dead letter", event_id=event_id, error=str(error))
        lanes.dead_letter_first(conn, event_id, str(error))


def decide(conn: Conn, event_id: int, batch: int) -> None:
    done = lanes.drain(conn, event_id, batch, settings().gateway_limit)
    if done.taken:
        log.info("drained", event_id=event_id, **vars(done))
