"""Slots and circuit of a gateway account, which all workers share.

Times are by the database's clock. One round trip before each call reads both.
"""

from dataclasses import dataclass
from typing import NamedTuple

from db.connections import Conn, many, maybe, one
from db.queries import load
from db.runtime.settings import settings

sql = load("payments/circuits")

BURST = 0.25
"""Seconds of unused slots that a bucket holds."""
OPEN_SECONDS = 10.0
"""The most seconds for which a circuit that opens refuses all calls; doubled by each failed probe.
With full jitter: the time is random, between 0 and this."""
LONGEST_OPEN_SECONDS = 60.0
PROBE = 20.0
"""Seconds after which a probe counts as dead: longer than a call
may take with the wait for its slot."""


class Priority(NamedTuple):
    """How far ahead a call may take a slot, in seconds.

    book: in the account's bucket. Negative: the slots of so many seconds are left in it for other
    calls, and calls that wait at their endpoints go first. wait: in the endpoint's bucket.
    """

    book: float
    wait: float


@dataclass(frozen=True)
class Slot:
    """The slot of a call.

    state: of the circuit. 'closed': the call may be made; 'half-open': it is the probe, with the
    number `probe`; 'open': it may not be made, ask again in `seconds`. seconds: until the slot;
    None: it would be too late, so none was taken. failures: calls in a row that failed before it.
    """

    state: str
    seconds: float | None
    failures: int
    probe: int


def take_slots(
    conn: Conn, account_id: int, endpoint: str, priority: Priority, count: int = 1
) -> list[Slot]:
    """Take a slot for each of so many calls at an endpoint of the gateway, if the circuit allows
    it. A circuit that is not closed lets one of them through."""
    values = {"account_id": account_id, "endpoint": endpoint, **priority._asdict()}
    values |= {"per_second": settings().gateway_limit, "burst": BURST}
    values |= {"account_per_second": settings().gateway_account_limit}
    values |= {"probe": PROBE * settings().task_pace, "count": count}
    return [Slot(**row) for row in conn.execute(sql.take_slots, values)]


def pause_slots(conn: Conn, account_id: int, endpoint: str, seconds: float) -> None:
    """Give no slots at an endpoint for so many seconds."""
    values = {"account_id": account_id, "endpoint": endpoint, "seconds": seconds}
    conn.execute(sql.pause_slots, values)


def has_opened(conn: Conn, account_id: int) -> bool:
    row = maybe(conn.execute(sql.has_opened, {"account_id": account_id}))
    return row is not None and row["opened"]


def count_failure(conn: Conn, account_id: int) -> int:
    """Count a failure, and return how many of all workers there are in a row; 0 if the circuit is
    not closed."""
    row = maybe(conn.execute(sql.count_failure, {"account_id": account_id}))
    return row["failures"] if row else 0


def forget_failures(conn: Conn, account_id: int) -> None:
    conn.execute(sql.forget_failures, {"account_id": account_id})


def open_circuit(conn: Conn, account_id: int, probe: int | None = None) -> bool:
    """Open the circuit after failures, or after a failed probe. False: another worker was first."""
    pace = settings().task_pace
    seconds = {"open_seconds": OPEN_SECONDS * pace, "longest": LONGEST_OPEN_SECONDS * pace}
    values = {"account_id": account_id, "probe": probe, **seconds}
    return bool(one(conn.execute(sql.open_circuit, values))["done"])


def refuse_key(conn: Conn, account_id: int) -> bool:
    """Open the circuit: the gateway does not accept the account's key. False: it was open."""
    pace = settings().task_pace
    seconds = {"open_seconds": OPEN_SECONDS * pace, "longest": LONGEST_OPEN_SECONDS * pace}
    return bool(one(conn.execute(sql.refuse_key, {"account_id": account_id} | seconds))["done"])


def end_refusal(conn: Conn, account_id: int) -> None:
    """Let a probe find out at once whether the account's new key is accepted."""
    conn.execute(sql.end_refusal, {"account_id": account_id})


def close_circuit(conn: Conn, account_id: int, probe: int) -> bool:
    """Close the circuit after a probe succeeded. False: another probe came after it."""
    values = {"account_id": account_id, "probe": probe}
    return bool(one(conn.execute(sql.close_circuit, values))["done"])


def probe_gateways(conn: Conn) -> int:
    """Add a probe's task for each circuit that is not closed, and return how many there are."""
    return len(many(conn.execute(sql.probe_gateways)))
