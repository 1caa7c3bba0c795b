"""A circuit breaker around each gateway account, on pybreaker, whose state all workers share.

The state is a row in Postgres, which is read before each call in any case
(db/payments/circuits.py); Redis has no part in it. pybreaker decides, and its storage here is that
row as it was when the call took its slot: each call has a circuit object of its own. pybreaker's
`call()` is not used, because it holds a lock during the call, so that calls would run one at a
time, and because its half-open state lets every call through. Instead `calling()` surrounds a call,
and only one slot at a time is the probe. An outage is a row, written with the state; its time is
credited to holds (sql/functions/payments/outage_overlap.sql).
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
from db.payments.circuits import Slot
from tasks.durable.leases import TryLater

log = structlog.get_logger()

FAILURES = 5
"""Failed calls in a row, counted over all workers, that open the circuit."""
SPREAD = 10
"""Seconds over which tasks return that were refused while the circuit was open."""

ANSWERS = (
    stripe.CardError,
    stripe.InvalidRequestError,
    stripe.RateLimitError,
    stripe.IdempotencyError,
    stripe.PermissionError,
)
"""Errors that only a working gateway gives."""

troubled: set[int] = set()
"""Accounts whose calls failed in this process: only their next success has to be written."""


class GatewayAway(TryLater):
    """The circuit is open; the task runs again some time after the next probe."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__(seconds + random.uniform(0, SPREAD), "circuit breaker open")


@contextmanager
def calling(account_id: int, slot: Slot) -> Iterator[None]:
    """Surround one call that has its slot; pybreaker decides what its outcome means for others."""
    circuit = pybreaker.CircuitBreaker(
        fail_max=FAILURES,
        exclude=[is_answer if slot.state == pybreaker.STATE_HALF_OPEN else is_no_failure],
        state_storage=SharedState(account_id, slot),
        throw_new_error_on_trip=False,
    )
    with circuit.calling():
        yield


def is_answer(error: BaseException) -> bool:
    """Whether the gateway answered at all, and accepts our key. 409: a request under this
    idempotency key is under way."""
    if is_access_lost(error):
        return False
    if isinstance(error, ANSWERS):
        return True
    return isinstance(error, stripe.StripeError) and (
        error.http_status == 409 or is_replay(error.headers)
    )


def is_access_lost(error: BaseException) -> bool:
    """Whether the gateway does not accept our key for the account at all."""
    if isinstance(error, stripe.PermissionError):
        return getattr(error.error, "code", None) == "account_invalid"
    return isinstance(error, stripe.AuthenticationError)


def is_replay(headers: Mapping[str, str] | None) -> bool:
    """Whether the gateway repeats an earlier answer to this key: an earlier failure is not new."""
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return lowered.get("idempotent-replayed") == "true"


def is_no_failure(error: BaseException) -> bool:
    """Whether an error says nothing against the gateway, like an error of our own. (A probe with
    such an error counts as failed, since it found nothing out.)"""
    return is_answer(error) or not isinstance(error, stripe.StripeError)


class SharedState(pybreaker.CircuitMemoryStorage):
    """An account's row, as one call read it; pybreaker's decisions are written there.

    Every write is a compare-and-set. If a write fails, the call's own outcome matters more: the
    next failure opens the circuit instead, or the next probe closes it.
    """

    def __init__(self, account_id: int, slot: Slot) -> None:
        super().__init__(slot.state)
        self.account_id = account_id
        self.probe = slot.probe if slot.state == pybreaker.STATE_HALF_OPEN else None
        if slot.failures:
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
