"""Consumers that wait in Redis for a message, where Dramatiq's own ask again and again.

Beside each queue stands a list of arrivals, one for each message that waits in the queue. A
consumer that has room takes an arrival, or waits until there is one, and then fetches messages. A
consumer that is full takes none. Every command that changes a queue is Dramatiq's script, and what
keeps the arrivals stands around that script. So a message that comes, or comes back, wakes one
consumer, whatever put it there.

An arrival can be lost: with the consumer that took it, or because the message was enqueued by
a version that knows none. So each consumer fetches after LONGEST_WAIT in any case.
"""

import time
from typing import Any
from uuid import uuid4

import redis
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.middleware import Middleware
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger()

TO_NOTICE_LOSS: dict[str, Any] = {
    "socket_connect_timeout": 3,
    "socket_timeout": 5,
    "socket_keepalive": True,
}
"""Seconds. No command of the broker's client blocks in Redis, so a silent server is away. Without
these limits a thread would wait for ever, even after SIGTERM."""

LONGEST_WAIT = 2.0
TO_ANSWER = 3.0
"""How much longer a consumer's own client, which does block, waits for Redis' answer."""
SHORT_WAIT = 0.1
"""Seconds between two looks of a consumer that is full, that holds delayed messages until their
time, or that cannot wait in Redis."""
INTERRUPTS_LAST = 60
"""Seconds until the interrupt of a consumer that does not wait is deleted."""

KEEP_ARRIVALS = b"""
local queue = KEYS[1] .. ":" .. ARGV[3]
local arrivals = queue .. ".arrivals"
local before = redis.call("llen", queue)
local answer = dispatch()
local waiting = redis.call("llen", queue)
for _ = before + 1, waiting do
    redis.call("rpush", arrivals, "")
end
if waiting == 0 then
    redis.call("del", arrivals)
else
    redis.call("ltrim", arrivals, -waiting, -1)
end
return answer
"""
"""An arrival for each message that was added, and never more arrivals than messages."""


class BlockingBroker(RedisBroker):
    """Dramatiq's broker, with arrivals, and with consumers that wait for them."""

    def __init__(self, url: str, middleware: list[Middleware]) -> None:
        client = redis.Redis.from_url(url, **TO_NOTICE_LOSS)
        super().__init__(client=client, middleware=middleware)  # type: ignore[no-untyped-call]
        self.url = url
        theirs = self.scripts["dispatch"].script
        assert isinstance(theirs, bytes)
        ours = b"local function dispatch()\n%b\nend\n%b" % (theirs, KEEP_ARRIVALS)
        self.scripts["dispatch"] = client.register_script(ours)

    @property
    def consumer_class(self) -> type["BlockingConsumer"]:
        return BlockingConsumer


class BlockingConsumer(_RedisConsumer):
    """A consumer of one queue, used by one thread; `interrupt` may be called by others."""

    broker: BlockingBroker

    def __init__(
        self, broker: BlockingBroker, queue_name: str, prefetch: int, timeout: int
    ) -> None:
        # Without a timeout: an empty fetch is followed by no sleep.
        super().__init__(broker, queue_name, prefetch, timeout=0)  # type: ignore[no-untyped-call]
        self.arrivals = f"{broker.namespace}:{queue_name}.arrivals"
        self.interrupts = f"{broker.namespace}:__interrupts__.{uuid4()}"
        self.client = waiting_client(broker.url)
        self.may_have_left = True  # of messages, by the last fetch: at first nothing is known
        self.troubled = False

    def __next__(self) -> MessageProxy | None:
        """The next message; None when none came for a while. Errors: ConnectionClosed."""
        if self.message_cache:
            return self.fetch()
        arrived = self.wait()
        room = self.prefetch - self.outstanding_message_count
        message = self.fetch()
        self.may_have_left = message is not None and 1 + len(self.message_cache) >= room
        if arrived and message is None and not self.prefetch:
            self.pass_on()
        return message

    def fetch(self) -> MessageProxy | None:
        """The next message of those fetched before, or, if there is room, of those in Redis."""
        message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        return message

    def wait(self) -> bool:
        """Wait for room, or for a message, or until interrupted. True: an arrival was taken."""
        if self.outstanding_message_count >= self.prefetch:
            time.sleep(SHORT_WAIT)
            return False
        if self.may_have_left:
            return False
        try:
            found = self.client.blpop([self.interrupts, self.arrivals], self.longest_wait())
        except redis.RedisError as error:
            if not self.troubled:  # if Redis is away, the fetch that follows says so
                log.warning("cannot wait in Redis", queue=self.queue_name, error=str(error))
            self.troubled = True
            time.sleep(SHORT_WAIT)
            return False
        self.troubled = False
        return found is not None and found[0] == self.arrivals.encode()

    def longest_wait(self) -> float:
        """Seconds. Delayed messages that were fetched have to be looked at when their time comes;
        Dramatiq does that between two calls."""
        holds_delayed = self.queue_name.endswith(".DQ") and self.outstanding_message_count
        return SHORT_WAIT if holds_delayed else LONGEST_WAIT

    def interrupt(self) -> None:
        """End the wait that there is, or the next one. Errors: redis.RedisError."""
        with self.broker.client.pipeline() as pipe:
            pipe.rpush(self.interrupts, "")
            pipe.expire(self.interrupts, INTERRUPTS_LAST)
            pipe.execute()

    def pass_on(self) -> None:
        """Give an arrival to another consumer, since this one was told to take no more."""
        try:
            self.broker.client.rpush(self.arrivals, "")
        except redis.RedisError as error:
            log.warning("a message waits for the next look", error=str(error))

    def close(self) -> None:
        self.client.close()


def waiting_client(url: str) -> redis.Redis:
    """A client whose commands may block for LONGEST_WAIT, whatever timeout the URL says."""
    client = redis.Redis.from_url(url, **TO_NOTICE_LOSS, retry=Retry(NoBackoff(), 0))
    client.connection_pool.connection_kwargs["socket_timeout"] = LONGEST_WAIT + TO_ANSWER
    return client
