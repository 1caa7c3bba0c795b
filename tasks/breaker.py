"""A circuit breaker around each gateway account, on pybreaker.

pybreaker's `call()` holds a lock around the call, so calls would run one at a time; `calling()`
does not, but lets everybody through when half-open: here one probe at a time goes through. An
outage is a row of its own, and holds are credited the time (sql/functions/60_release_seats.sql).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pybreaker
import stripe
import structlog

from db import payments
from db.connections import transaction
from db.settings import settings
from tasks.durable import TryLater

log = structlog.get_logger()

FAILURES = 5
"""Failed calls in a row that open the breaker."""
REST = 10
"""Seconds for which an open breaker refuses before it tries again."""

ANSWERS = [
    stripe.CardError,
    stripe.InvalidRequestError,
    stripe.RateLimitError,
    stripe.IdempotencyError,
    stripe.AuthenticationError,
    stripe.PermissionError,
]
"""Errors that show a gateway in good health."""


class GatewayAway(TryLater):
    """The gateway did not answer lately; the task runs again when it is tried next."""

    def __init__(self) -> None:
        super().__init__(REST, "circuit breaker open")


class Outages(pybreaker.CircuitBreakerListener):
    """Writes down from when to when the gateway could not be used.

    The first call that succeeds in a process closes whatever one that died has left open.
    """

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.may_be_open = True

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        log.warning("breaker", gateway_account_id=self.account_id, state=new_state.name)
        if new_state.name == "open":
            self.may_be_open = True
            with transaction() as conn:
                payments.open_outage(conn, self.account_id)

    def success(self, cb: pybreaker.CircuitBreaker) -> None:
        if self.may_be_open and cb.current_state == pybreaker.STATE_CLOSED:
            with transaction() as conn:
                payments.close_outage(conn, self.account_id)
            self.may_be_open = False


class Breaker:
    """One gateway account's breaker in this process."""

    def __init__(self, account_id: int) -> None:
        self.circuit = pybreaker.CircuitBreaker(
            fail_max=FAILURES,
            reset_timeout=REST * settings().task_pace,
            exclude=ANSWERS,
            listeners=[Outages(account_id)],
            throw_new_error_on_trip=False,
        )
        self.probe = threading.Lock()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around one call. Errors: GatewayAway, and nothing was sent."""
        probing = self.circuit.current_state != pybreaker.STATE_CLOSED
        if probing and not self.probe.acquire(blocking=False):
            raise GatewayAway
        try:
            with self.circuit.calling():
                yield
        except pybreaker.CircuitBreakerError:
            raise GatewayAway from None
        finally:
            if probing:
                self.probe.release()


@cache
def breaker_for(account_id: int) -> Breaker:
    return Breaker(account_id)
