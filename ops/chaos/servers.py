"""Faults of the servers: Postgres, the connections to it, and Redis."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, get_args

import psycopg
import redis

from ops.chaos.plan import Act
from ops.chaos.timeline import Doing
from ops.chaos.wire import How, Wire
from ops.local.servers import Postgres, Redis

Crowded = psycopg.OperationalError

END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'usher' AND pid <> pg_backend_pid()
"""


class Servers:
    """done: number of faults, by kind."""

    def __init__(self, postgres: Postgres, wire: Wire, redis_server: Redis, url: str) -> None:
        self.postgres, self.wire, self.redis, self.url = postgres, wire, redis_server, url
        self.done: Counter[str] = Counter()
        # A server dies with the thread that started it, so the timeline's must not start one.
        self._hands = ThreadPoolExecutor(1, "servers")
        self._crowd: list[psycopg.Connection[Any]] = []
        self._snapshot: psycopg.Connection[Any] | None = None

    @property
    def doings(self) -> dict[str, Doing]:
        return {
            "postgres_restarted": self.restart_postgres,
            "pool_exhausted": self.exhaust,
            "room_again": self.make_room,
            "snapshot_held": self.hold_snapshot,
            "redis_flushed": self.flush,
            "redis_restarted": self.restart_redis,
            "redis_stopped": self.stop_redis,
            "redis_back": self.start_redis,
            "redis_paused": self.pause_redis,
            "redis_resumed": self.resume_redis,
            **{f"cut {how}": self.cut for how in get_args(How)},
        }

    def cut(self, act: Act) -> None:
        self.wire.cut(act.what.removeprefix("cut "))  # type: ignore[arg-type]

    def restart_postgres(self, act: Act) -> None:
        """Restart Postgres as after a crash of its machine, with recovery."""
        self.make_room(act)
        self._hands.submit(self.postgres.restart, "immediate").result()
        self.done[act.what] += 1

    def exhaust(self, act: Act) -> Act:
        """End all connections, then take every free one."""
        with suppress(Crowded):
            while True:
                self._crowd.append(psycopg.connect(self.url, autocommit=True))
                if len(self._crowd) == 1:
                    self._crowd[0].execute(END_OTHERS)
        self.done[act.what] += 1
        return Act(act.at_s + act.lasts_s, "room_again")

    def make_room(self, act: Act) -> None:
        while self._crowd:
            self._crowd.pop().close()

    def hold_snapshot(self, act: Act) -> Act:
        """Hold an old snapshot, and take a new one when the server's restart has ended it."""
        with suppress(psycopg.OperationalError):
            if self._snapshot is None or self._snapshot.closed:
                self._snapshot = psycopg.connect(self.url)
                self._snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                self.done[act.what] += 1
            self._snapshot.execute("SELECT count(*) FROM outbox")
        return Act(act.at_s + 3, act.what)

    def _client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis.url, socket_timeout=5)

    def flush(self, act: Act) -> None:
        with suppress(redis.RedisError), self._client() as client:
            client.flushall()
            self.done[act.what] += 1

    def restart_redis(self, act: Act) -> None:
        self._hands.submit(self.redis.restart).result()
        self.done[act.what] += 1

    def stop_redis(self, act: Act) -> Act:
        self.redis.stop()
        self.done[act.what] += 1
        return Act(act.at_s + act.lasts_s, "redis_back")

    def start_redis(self, act: Act) -> None:
        if self.redis.process is None:
            self._hands.submit(self.redis.start).result()

    def pause_redis(self, act: Act) -> Act:
        if self.redis.process is not None:
            self.redis.pause()
            self.done[act.what] += 1
        return Act(act.at_s + act.lasts_s, "redis_resumed")

    def resume_redis(self, act: Act) -> None:
        if self.redis.process is not None:
            self.redis.resume()

    def broken(self) -> dict[str, int]:
        """Count the faults by kind, those of the wire included."""
        cuts = {f"cut {how}": n for how, n in self.wire.done.items()}
        return dict(sorted((self.done + Counter(cuts)).items()))

    def rest(self) -> None:
        """End all faults."""
        act = Act(0, "rest")
        self.wire.rest()
        self.make_room(act)
        self.start_redis(act)
        self.resume_redis(act)
        if self._snapshot is not None:
            self._snapshot.close()
