"""Deliver every message of Dramatiq again: at once, so that two workers have it, and late.

Watches Redis from outside (MONITOR) and enqueues copies of every message in the same queue.
"""

import heapq
import json
import random
import re
import time
from collections import Counter
from typing import Any, cast
from uuid import uuid4

import redis

from ops.local.background import Background

Json = dict[str, Any]

NAMESPACE = "dramatiq"
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
LOOK_S = 0.05
AGAIN_S = 0.2


class Copies(Background):
    """Runs for the time of a `with` block. done: number of copies enqueued, at_once and late."""

    def __init__(self, url: str, seed: int, late_s: tuple[float, float] = (2, 20)) -> None:
        super().__init__("copies")
        self.url, self.late_s = url, late_s
        self.dice = random.Random(f"copies {seed}")
        self.done: Counter[str] = Counter()
        self._last = ""
        self._late: list[tuple[float, str, Json]] = []

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with redis.Redis.from_url(self.url, socket_timeout=5) as client:
                    self._watch(client)
            except (redis.RedisError, OSError):
                self.stopping.wait(AGAIN_S)  # Redis may be down

    def _watch(self, client: "redis.Redis") -> None:
        with client.monitor() as monitor:  # type: ignore[no-untyped-call]
            while not self.stopping.is_set():
                message = next_message(monitor.connection)
                # If Redis does not know the script yet, the call is repeated.
                if message and message["options"]["redis_message_id"] != self._last:
                    self._last = message["options"]["redis_message_id"]
                    self._put(client, message, "at_once")
                    due = time.monotonic() + self.dice.uniform(*self.late_s)
                    heapq.heappush(self._late, (due, uuid4().hex, message))
                while self._late and self._late[0][0] < time.monotonic():
                    self._put(client, heapq.heappop(self._late)[2], "late")

    def _put(self, client: "redis.Redis", message: Json, when: str) -> None:
        copy_id, queue = str(uuid4()), f"{NAMESPACE}:{message['queue_name']}"
        options = {**message["options"], "redis_message_id": copy_id}
        with client.pipeline() as pipeline:
            pipeline.hset(f"{queue}.msgs", copy_id, json.dumps({**message, "options": options}))
            pipeline.rpush(queue, copy_id)
            pipeline.execute()
        self.done[when] += 1


def next_message(connection: Any) -> Json | None:
    """The message that the next command enqueues, if any."""
    if not connection.can_read(timeout=LOOK_S):
        return None
    line = connection.read_response()
    return read_message(line.decode()) if b'"enqueue"' in line else None


def read_message(line: str) -> Json | None:
    """The message of a monitored line, if the line enqueues one."""
    words = WORD.findall(line)
    try:
        message = json.loads(words[-1].replace('\\"', '"').replace("\\\\", "\\"))
    except (ValueError, IndexError):
        return None
    return cast(Json, message) if isinstance(message, dict) and "actor_name" in message else None
