"""A circuit breaker around each gateway account, on pybreaker, whose state all workers share.

The state is a row in Postgres, which is asked before each call anyhow (db/payments/circuits.py);
Redis has no part in it. pybreaker decides, and its storage here is that row as it was when the
call took its turn: each call has a circuit of its own. (Its `call()` holds a lock around the call,
so that calls would run one at a time, and its half-open state lets everybody through: hence
`calling()`, and turns, of which one at a time is the probe.) An outage is a row, too, written with
the state, and holds are credited its time (sql/functions/payments/outage_overlap.sql).
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pybreaker
import stripe
import structlog

from db.connections import Conn, transaction
from db.payments import circuits
from db.payments.circuits import Turn
from tasks.durable.leases import TryLater

log = structlog.get_logger()

FAILURES = 5
"""Failed calls in a row, of all workers together, that open the breaker."""
SPREAD = 10
"""Seconds over which those come back that were refused while it was open."""

ANSWERS = (
    stripe.CardError,
    stripe.InvalidRequestError,
    stripe.RateLimitError,
    stripe.IdempotencyError,
    stripe.AuthenticationError,
    stripe.PermissionError,
)
"""Errors that show a gateway in good health."""

troubled: set[int] = set()
"""Accounts with failed calls, as far as this process saw: their next success is worth writing."""


class GatewayAway(TryLater):
    """The gateway did not answer lately; the task runs again some time after it is tried next."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__(seconds + random.uniform(0, SPREAD), "circuit breaker open")


@contextmanager
def calling(account_id: int, turn: Turn) -> Iterator[None]:
    """Around one call that has its turn; pybreaker decides what it means for the others."""
    circuit = pybreaker.CircuitBreaker(
        fail_max=FAILURES,
        exclude=[is_answer if turn.state == pybreaker.STATE_HALF_OPEN else is_no_failure],
        state_storage=SharedState(account_id, turn),
        throw_new_error_on_trip=False,
    )
    with circuit.calling():
        yield


def is_answer(error: BaseException) -> bool:
    """Whether the gateway answered, whatever it said. 409: a request with this key is under way."""
    if isinstance(error, ANSWERS):
        return True
    return isinstance(error, stripe.StripeError) and (
        error.http_status == 409 or is_replay(error.headers)
    )


def is_replay(headers: Mapping[str, str] | None) -> bool:
    """Whether the gateway repeats what it once said to this key: that it failed then is no news."""
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return lowered.get("idempotent-replayed") == "true"


def is_no_failure(error: BaseException) -> bool:
    """Nor is a fault of ours one of the gateway's. (For a probe it is: it did not find out.)"""
    return is_answer(error) or not isinstance(error, stripe.StripeError)


class SharedState(pybreaker.CircuitMemoryStorage):
    """An account's row, as one call knows it; what pybreaker decides is written there.

    All that is written is a compare-and-set. Where it cannot be, the call's own outcome matters
    more: the next failure opens the circuit instead, and the next probe closes it.
    """

    def __init__(self, account_id: int, turn: Turn) -> None:
        super().__init__(turn.state)
        self.account_id = account_id
        self.probe = turn.probe if turn.state == pybreaker.STATE_HALF_OPEN else None
        if turn.failures:
            troubled.add(account_id)

    @property
    def state(self) -> str:
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        self._state = state
        moved = self._write(
            lambda conn: (
                circuits.open_circuit(conn, self.account_id, self.probe)
                if state == pybreaker.STATE_OPEN
                else circuits.close_circuit(conn, self.account_id, self.probe or 0)
            )
        )
        if moved:
            log.warning("circuit", gateway_account_id=self.account_id, state=state)

    def increment_counter(self) -> None:
        troubled.add(self.account_id)
        count = self._write(lambda conn: circuits.count_failure(conn, self.account_id))
        self._fail_counter = count or 0

    def reset_counter(self) -> None:
        if self.probe is None and self.account_id in troubled:
            troubled.discard(self.account_id)
            self._write(lambda conn: circuits.forget_failures(conn, self.account_id))

    def _write(self, change: Callable[[Conn], Any]) -> Any:
        try:
            with transaction() as conn:
                return change(conn)
        except psycopg.Error as error:
            log.warning("circuit not written", error=f"{type(error).__name__}: {error}")
            return None
