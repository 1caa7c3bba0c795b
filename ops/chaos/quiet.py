"""Wait until nothing is under way, and say what still is."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from db.connections import Conn, one

LOOK_S = 0.5

OPEN = """
SELECT json_object_agg(what, n) AS open FROM (
    SELECT 'bookings ' || state AS what, count(*) AS n FROM bookings
    WHERE state NOT IN ('confirmed', 'expired', 'cancelled', 'failed') GROUP BY state
    UNION ALL
    SELECT 'tasks ' || actor || CASE WHEN lease_token IS NOT NULL THEN ' (leased)'
        WHEN run_at > clock_timestamp() THEN ' (later)' ELSE ' (due)' END, count(*)
    FROM outbox GROUP BY 1
    UNION ALL
    SELECT 'entries ' || state, count(*) FROM entries
    WHERE state IN ('lobby', 'waiting', 'standby', 'admitted') GROUP BY state
    UNION ALL
    SELECT 'refunds ' || state, count(*) FROM refunds WHERE state = 'pending' GROUP BY state
    UNION ALL
    SELECT 'refunds owed', count(*) FROM refunds
    WHERE state = 'failed' AND retried_by IS NULL AND settled_at IS NULL
    UNION ALL
    SELECT 'e-mails ' || state, count(*) FROM emails WHERE state = 'pending' GROUP BY state
    UNION ALL
    SELECT 'outages', count(*) FROM outages WHERE closed_at IS NULL
) open WHERE n > 0
"""

# The faults are over, so a call from a while ago has either reached the gateway or never will: the
# long time limit that Usher needs in production is not needed here.
TURN_CLOCKS = """
WITH held AS (
    UPDATE bookings SET deadline = clock_timestamp() - interval '61 s'
    WHERE state IN ('held', 'authorising') AND deadline > clock_timestamp() - interval '61 s'
), paid AS (
    UPDATE payments SET updated_at = updated_at - interval '1 min'
    WHERE state NOT IN ('captured', 'failed', 'voided')
        AND updated_at BETWEEN clock_timestamp() - interval '1 min'
            AND clock_timestamp() - interval '3 s'
)
UPDATE refunds SET updated_at = updated_at - interval '1 min'
WHERE state = 'pending'
    AND updated_at BETWEEN clock_timestamp() - interval '1 min'
        AND clock_timestamp() - interval '3 s'
"""


def open_ends(conn: Conn) -> dict[str, int]:
    return one(conn.execute(OPEN))["open"] or {}


def turn_clocks(conn: Conn) -> None:
    """Move deadlines of holds, and of calls that were sent a while ago, forward."""
    conn.execute(TURN_CLOCKS)


def wait_for_quiet(
    look: Callable[[], Mapping[str, Any]], help_on: Callable[[], None], patience_s: float,
    say: Callable[[str], object],
) -> dict[str, Any]:  # fmt: skip
    """Wait until look() finds nothing; return what it found last. help_on: called each round."""
    deadline = time.monotonic() + patience_s
    while True:
        help_on()
        left = {what: n for what, n in look().items() if n}
        if not left or time.monotonic() > deadline:
            return left
        say(", ".join(f"{n} {what}" for what, n in left.items()))
        time.sleep(LOOK_S)
