"""Waiting for servers: a process may start before the servers that it needs. It logs once what it
waits for, and goes on when they answer."""

from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from urllib.parse import urlsplit

import psycopg
import redis
import structlog
from psycopg.conninfo import conninfo_to_dict

from db.runtime.settings import settings

log = structlog.get_logger()

TRY_EVERY = 0.5
CONNECT_TIMEOUT = 3
"""Seconds for one try."""


def wait_for_postgres(stop: Event, url: str | None = None) -> bool:
    """Wait until Postgres answers, at DATABASE_URL unless another is given; False: the process was
    told to stop first."""
    url = url or settings().database_url
    parts = conninfo_to_dict(url)
    place = f"{parts.get('host', 'this machine')}:{parts.get('port', 5432)}"
    return _wait("Postgres", place, partial(_ask_postgres, url), stop)


def wait_for_redis(stop: Event) -> bool:
    """Wait until Redis answers; False: the process was told to stop first."""
    url = urlsplit(settings().redis_url)
    return _wait("Redis", f"{url.hostname}:{url.port or 6379}", _ask_redis, stop)


def say_if_postgres_is_away() -> None:
    """Log that Postgres is away, without waiting: for processes that answer with 503 meanwhile."""
    Thread(target=wait_for_postgres, args=[Event()], name="startup", daemon=True).start()


def _ask_postgres(url: str) -> None:
    with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT) as conn:
        conn.execute("SELECT")


def _ask_redis() -> None:
    with redis.Redis.from_url(
        settings().redis_url, socket_timeout=CONNECT_TIMEOUT, socket_connect_timeout=CONNECT_TIMEOUT
    ) as client:
        client.ping()


def _wait(name: str, place: str, ask: Callable[[], None], stop: Event) -> bool:
    waiting = False
    while not stop.is_set():
        try:
            ask()
        except (psycopg.OperationalError, redis.RedisError) as error:
            if not waiting:
                log.warning(f"waiting for {name} at {place}", why=str(error).strip())
            waiting = True
            stop.wait(TRY_EVERY)
        else:
            if waiting:
                log.info(f"{name} at {place} answers")
            return True
    return False
