"""Counts of requests in windows of time: in Redis for all processes together, or in this process
alone while Redis is away."""

import time
from collections.abc import Callable, Sequence
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


Wanted = Sequence[tuple[str, RateLimitItem]]
Step = tuple[int, str, RateLimitItem]
"""The number of a step, and a name and limit that are counted in it."""

ADD = """
local counts, exceeded = {}, nil
for i, key in ipairs(KEYS) do
    local step, seconds, most = ARGV[3 * i - 2], ARGV[3 * i - 1], tonumber(ARGV[3 * i])
    if exceeded and exceeded ~= step then break end
    counts[i] = redis.call('INCR', key)
    redis.call('EXPIRE', key, seconds)
    if counts[i] > most then exceeded = step end
end
return counts
"""


class RequestCounts:
    """Counts by name and window. All names of a request take one round trip."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._add_script = self._redis.register_script(ADD)
        self._alone = MemoryStorage()
        self._away_until = 0.0

    def add(self, steps: Sequence[Wanted]) -> list[list[Counted]]:
        """Count one more for each name, step by step; names may have several limits. Once a limit
        of a step is exceeded, those after it are not counted, and are not in the result."""
        names = [(at, name, limit) for at, step in enumerate(steps) for name, limit in step]
        keys, windows, resets = _windows([(name, limit) for _, name, limit in names])
        counts = self._try(
            lambda: self._add_together(names, keys, windows),
            lambda: self._add_alone(names, keys, windows),
        )
        found: list[list[Counted]] = [[] for _ in range(names[len(counts) - 1][0] + 1)]
        for (at, name, limit), count, reset in zip(names, counts, resets, strict=False):
            found[at].append(Counted(limit, name, count, reset))
        return found

    def take_back(self, wanted: Wanted) -> list[Counted]:
        """Count one less for each name."""
        return self._read(wanted, -1)

    def look(self, wanted: Wanted) -> list[Counted]:
        """What was counted for each name."""
        return self._read(wanted, 0)

    def _read(self, wanted: Wanted, more: int) -> list[Counted]:
        keys, windows, resets = _windows(wanted)
        counts = self._try(
            lambda: self._count_together(keys, windows, more),
            lambda: [
                self._alone.incr(key, seconds, amount=more)
                for key, seconds in zip(keys, windows, strict=True)
            ],
        )
        return [
            Counted(limit, name, count, reset)
            for (name, limit), count, reset in zip(wanted, counts, resets, strict=True)
        ]

    def _try(self, together: Callable[[], list[int]], alone: Callable[[], list[int]]) -> list[int]:
        if time.monotonic() >= self._away_until:
            try:
                return together()
            except redis.RedisError as error:
                self._away_until = time.monotonic() + AWAY
                log.warning("requests are counted by this process alone", error=str(error))
        return alone()

    def _add_together(
        self, names: Sequence[Step], keys: list[str], windows: list[int]
    ) -> list[int]:
        told = [
            value
            for (at, _, limit), seconds in zip(names, windows, strict=True)
            for value in (at, seconds, limit.amount)
        ]
        return [int(count) for count in self._add_script(keys, told)]

    def _add_alone(self, names: Sequence[Step], keys: list[str], windows: list[int]) -> list[int]:
        counts: list[int] = []
        exceeded = None
        for (at, _, limit), key, seconds in zip(names, keys, windows, strict=True):
            if exceeded not in (None, at):
                break
            counts.append(self._alone.incr(key, seconds))
            exceeded = at if counts[-1] > limit.amount else exceeded
        return counts

    def _count_together(self, keys: list[str], windows: list[int], more: int) -> list[int]:
        pipe = self._redis.pipeline(transaction=False)
        for key, seconds in zip(keys, windows, strict=True):
            pipe.incr(key, more)
            pipe.expire(key, seconds)
        return [int(count) for count in pipe.execute()[::2]]


def _windows(wanted: Wanted) -> tuple[list[str], list[int], list[int]]:
    """Keys of the present windows, their lengths, and the seconds until they end."""
    now = int(time.time())
    lengths = [limit.get_expiry() for _, limit in wanted]
    keys = [
        f"usher:{name}:{seconds}:{now // seconds}"
        for (name, _), seconds in zip(wanted, lengths, strict=True)
    ]
    return keys, lengths, [seconds - now % seconds for seconds in lengths]
