"""What all workers share about a gateway account: turns at its limits, and its circuit breaker.

The database's clock decides, and one round trip before each call tells both.
"""

from dataclasses import dataclass
from typing import NamedTuple

from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.settings import settings

sql = load("payments/circuits")

BURST = 0.25
"""Seconds' worth of calls that may come at once where none came before."""
REST = 10.0
"""Seconds, at most, for which a circuit that opens refuses all calls; doubled by each probe that
fails. Full jitter: anything below may come out."""
LONGEST_REST = 60.0
PROBE = 20.0
"""Seconds after which a probe counts as dead: longer than a call
may take with the wait for its turn."""


class Priority(NamedTuple):
    """How far ahead a call may be booked, in seconds.

    book: in the account's bucket. Negative: so much of what it holds (BURST) is left for others,
    and they go first, too, where they wait at their endpoints. wait: in the endpoint's bucket.
    """

    book: float
    wait: float


@dataclass(frozen=True)
class Turn:
    """What a call may do.

    state: 'closed'; 'half-open': as the only one, its number is `probe`; 'open': nothing, and may
    ask again in `seconds`. seconds: until its turn; None: too far away, none was taken.
    failures: calls in a row that failed before it.
    """

    state: str
    seconds: float | None
    failures: int
    probe: int


def take_turn(conn: Conn, account_id: int, endpoint: str, priority: Priority) -> Turn:
    """Book a turn at an endpoint of the gateway, if its circuit allows."""
    values = {"account_id": account_id, "endpoint": endpoint, **priority._asdict()}
    values |= {"per_second": settings().gateway_limit, "burst": BURST}
    values |= {"account_per_second": settings().gateway_account_limit}
    values |= {"probe": PROBE * settings().task_pace}
    row = one(conn.execute(sql.take_turn, values))
    return Turn(**row)


def pause_turns(conn: Conn, account_id: int, endpoint: str, seconds: float) -> None:
    """No turns at an endpoint for so long."""
    values = {"account_id": account_id, "endpoint": endpoint, "seconds": seconds}
    conn.execute(sql.pause_turns, values)


def has_opened(conn: Conn, account_id: int) -> bool:
    row = maybe(conn.execute(sql.has_opened, {"account_id": account_id}))
    return row is not None and row["opened"]


def count_failure(conn: Conn, account_id: int) -> int:
    """How many there are in a row now, of all workers; 0 where the circuit is not closed."""
    row = maybe(conn.execute(sql.count_failure, {"account_id": account_id}))
    return row["failures"] if row else 0


def forget_failures(conn: Conn, account_id: int) -> None:
    conn.execute(sql.forget_failures, {"account_id": account_id})


def open_circuit(conn: Conn, account_id: int, probe: int | None = None) -> bool:
    """After failures, or after that of a probe. False: another worker was first."""
    pace = settings().task_pace
    seconds = {"rest": REST * pace, "longest": LONGEST_REST * pace}
    values = {"account_id": account_id, "probe": probe, **seconds}
    return bool(one(conn.execute(sql.open_circuit, values))["done"])


def close_circuit(conn: Conn, account_id: int, probe: int) -> bool:
    """False: the probe was given up, and another one finds out, or has."""
    values = {"account_id": account_id, "probe": probe}
    return bool(one(conn.execute(sql.close_circuit, values))["done"])


def probe_gateways(conn: Conn) -> int:
    """Have every gateway asked that could not be used lately. How many there are."""
    return len(many(conn.execute(sql.probe_gateways)))
