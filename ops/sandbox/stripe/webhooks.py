"""Deliver events to webhook endpoints: signed like Stripe's, retried until they are accepted.

Source: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp
import orjson

from ops.sandbox.stripe.account import Endpoint, Event
from ops.sandbox.stripe.engine import Engine
from ops.sandbox.stripe.faults import Faults
from ops.sandbox.stripe.render import Renderer

GIVE_UP_AFTER = 3 * 86_400  # seconds; Stripe tries for three days
LONGEST_WAIT = 3600
IN_FLIGHT = 8  # deliveries at a time to one endpoint; few, since it may share this machine


@dataclass(frozen=True)
class Patience:
    """Seconds: the first wait before a retry, doubled each time, and the time to answer."""

    backoff: float = 1
    timeout: float = 10


class Courier:
    """Sends events while requests are answered."""

    def __init__(self, engine: Engine, faults: Faults, base_url: str, patience: Patience) -> None:
        self._engine = engine
        self._faults = faults
        self._renderer = Renderer(base_url)
        self._patience = patience
        self._places: dict[str, asyncio.Semaphore] = {}  # by endpoint: a dead one blocks no other
        self._tasks: set[asyncio.Task[None]] = set()
        self.connected = False
        self.counts: Counter[str] = Counter(delivered=0, failed=0, abandoned=0)

    def open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._patience.timeout)
        self._client = aiohttp.ClientSession(timeout=timeout)

    def deliver(self, event: Event, endpoint: Endpoint) -> None:
        """Begin to deliver: once or, at random, twice or late."""
        for delay in self._faults.webhook_delays():
            self._start(event, endpoint, delay)

    def _start(self, event: Event, endpoint: Endpoint, delay: float) -> None:
        task = asyncio.get_running_loop().create_task(self._persist(event, endpoint, delay))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _persist(self, event: Event, endpoint: Endpoint, delay: float) -> None:
        started, wait = time.time(), self._patience.backoff
        if delay:
            await asyncio.sleep(delay)
        while self._engine.account.endpoints.has(endpoint.id):
            if await self._try(event, endpoint):
                self.counts["delivered"] += 1
                self._engine.delivered(event, endpoint)
                return
            self.counts["failed"] += 1
            if time.time() - started > GIVE_UP_AFTER:
                break
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        self.counts["abandoned"] += 1

    async def _try(self, event: Event, endpoint: Endpoint) -> bool:
        """Whether the receiver answered with 2xx in time."""
        shown = self._renderer.event(event)
        if self.connected:
            shown["account"] = self._engine.account.id
        body = orjson.dumps(shown)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, endpoint.secret, int(time.time())),
        }
        places = self._places.setdefault(endpoint.id, asyncio.Semaphore(IN_FLIGHT))
        async with places:
            try:
                async with self._client.post(
                    endpoint.url, data=body, headers=headers, allow_redirects=False
                ) as answer:
                    return 200 <= answer.status < 300
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def forget(self) -> None:
        """Give up all that is under way."""
        for task in self._tasks:
            task.cancel()
        self.counts = Counter(delivered=0, failed=0, abandoned=0)

    async def close(self) -> None:
        self.forget()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()


def signature(body: bytes, secret: str, now: int) -> str:
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256)
    return f"t={now},v1={digest.hexdigest()}"
