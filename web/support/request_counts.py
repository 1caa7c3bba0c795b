"""Counts of requests in windows of time: in Redis for all processes together, or in this process
alone while Redis is away."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import redis
import structlog
from limits import RateLimitItem
from limits.storage import MemoryStorage

TIMEOUT = 0.2  # seconds
AWAY = 5.0
"""Seconds in which Redis is not asked again after it did not answer: else all would wait."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Counted:
    """A limit, and how often it was asked for in its present window, this request included."""

    limit: RateLimitItem
    name: str
    count: int
    reset: int
    """Seconds until the window ends."""

    @property
    def remaining(self) -> int:
        return max(self.limit.amount - self.count, 0)

    @property
    def is_exceeded(self) -> bool:
        return self.count > self.limit.amount


class RequestCounts:
    """Counts by name and window. All names of a request take one round trip."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._alone = MemoryStorage()
        self._away_until = 0.0

    def add(self, wanted: Sequence[tuple[str, RateLimitItem]]) -> list[Counted]:
        """Count one more for each name; names may have several limits."""
        return self._read(wanted, 1)

    def take_back(self, wanted: Sequence[tuple[str, RateLimitItem]]) -> list[Counted]:
        """Count one less for each name."""
        return self._read(wanted, -1)

    def look(self, wanted: Sequence[tuple[str, RateLimitItem]]) -> list[Counted]:
        """What was counted for each name."""
        return self._read(wanted, 0)

    def _read(self, wanted: Sequence[tuple[str, RateLimitItem]], more: int) -> list[Counted]:
        now = int(time.time())
        windows = [limit.get_expiry() for _, limit in wanted]
        keys = [
            f"usher:{name}:{seconds}:{now // seconds}"
            for (name, _), seconds in zip(wanted, windows, strict=True)
        ]
        counts = self._count(keys, windows, more)
        return [
            Counted(limit, name, count, seconds - now % seconds)
            for (name, limit), count, seconds in zip(wanted, counts, windows, strict=True)
        ]

    def _count(self, keys: list[str], windows: list[int], more: int) -> list[int]:
        if time.monotonic() >= self._away_until:
            try:
                return self._count_together(keys, windows, more)
            except redis.RedisError as error:
                self._away_until = time.monotonic() + AWAY
                log.warning("requests are counted by this process alone", error=str(error))
        pairs = zip(keys, windows, strict=True)
        return [self._alone.incr(key, seconds, amount=more) for key, seconds in pairs]

    def _count_together(self, keys: list[str], windows: list[int], more: int) -> list[int]:
        pipe = self._redis.pipeline(transaction=False)
        for key, seconds in zip(keys, windows, strict=True):
            pipe.incr(key, more)
            pipe.expire(key, seconds)
        return [int(count) for count in pipe.execute()[::2]]
