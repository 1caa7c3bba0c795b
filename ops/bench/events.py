"""Events and queues to measure, made in the database alone with one statement each.

An event has rows of 20 seats in four categories that cost the same. Entries are numbered by the
event's own sequence, so that joins over HTTP continue after the inserted ones.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from db.connections import Conn, one
from db.queue import lanes
from db.queue.lanes import Drained
from db.runtime.settings import settings

SEATS_A_ROW = 20
MOST_IDLE = 100  # batches in a row that decide nothing: a few are normal

ORGANISATION = """
INSERT INTO organisations (name) VALUES ('Bench');
INSERT INTO gateway_accounts (organisation_id, provider) VALUES (1, 'stripe');
INSERT INTO venues (organisation_id, name, time_zone) VALUES (1, 'Theatre', 'UTC');
INSERT INTO plans (organisation_id, venue_id, name) VALUES (1, 1, 'Theatre');
INSERT INTO plan_versions (plan_id, version, source, seat_count) VALUES (1, 1, '{}', 1)
"""

EVENT = """
WITH event AS (
    INSERT INTO events (organisation_id, venue_id, plan_version_id, gateway_account_id, name, state,
        starts_at, on_sale_at, off_sale_at, time_zone, currency)
    VALUES (1, 1, 1, 1, 'Evening', 'on_sale', now() + interval '1 day', now(),
        now() + interval '1 day', 'UTC', 'EUR')
    RETURNING id
), categories AS (
    INSERT INTO event_categories (event_id, category, name, price)
    SELECT id, category, category::text, %(price)s FROM event, generate_series(1, 4) category
), lane AS (
    INSERT INTO lanes (event_id, weight) SELECT id, %(weight)s FROM event
), lane_state AS (
    INSERT INTO lane_state (event_id) SELECT id FROM event
)
SELECT id FROM event
"""

SEATS = """
INSERT INTO seats (event_id, seat, category, centre)
SELECT %(event)s, r * (%(width)s + 1) + n, 1 + r * 4 / %(rows)s, n - 1 - %(width)s / 2
FROM generate_series(0, %(rows)s - 1) r, generate_series(1, %(width)s) n ORDER BY 2
"""

NUMBERS = """
SELECT setval(numbers, coalesce(pg_sequence_last_value(numbers), 0) + %(count)s) AS last
FROM (SELECT format('entry_numbers_%%s', %(event)s::bigint)::regclass AS numbers) s
"""

ENTRIES = """
INSERT INTO entries (event_id, number, organisation_id, buyer_id, quantity, category, seats,
    idempotency_key, request_sha256)
SELECT %(event)s, n, 1, n, w.quantity, w.category, w.seats, n::text, sha256(n::text::bytea)
FROM generate_series(%(first)s::bigint, %(last)s) crowd(n), LATERAL ({wishes}) w ORDER BY crowd.n
"""

PAIRS = "SELECT 2 AS quantity, 1 + n %% 4 AS category, NULL::integer[] AS seats"
SINGLES = "SELECT 1 AS quantity, 1 + n %% 4 AS category, NULL::integer[] AS seats"
# Of ten entries, three name one or two seats, five ask for the best one or two (half of these need
# not be adjacent), and two are groups of four to eight.
MIXED = """
SELECT CASE WHEN kind < 3 THEN cardinality(named) WHEN kind < 8 THEN 1 + kind %% 2
        ELSE 4 + dice %% 5 END AS quantity,
    CASE WHEN kind >= 3 AND dice %% 2 = 0 THEN 1 + dice / 2 %% 4 END AS category,
    CASE WHEN kind < 3 THEN named END AS seats
FROM (SELECT n %% 10 AS kind, dice,
        CASE WHEN n %% 10 = 0 THEN ARRAY[seat] ELSE ARRAY[seat, seat + 1] END AS named
    FROM (SELECT dice, dice %% %(rows)s * (%(width)s + 1) + 1 + dice / %(rows)s %% (%(width)s - 1)
            AS seat
        FROM (SELECT hashint8(n) & 2147483647 AS dice) d) s) k
"""


@dataclass(frozen=True)
class Event:
    """An event on sale; `seats` counts its seats."""

    id: int
    seats: int

    @property
    def size(self) -> dict[str, int]:
        return {"event": self.id, "rows": self.seats // SEATS_A_ROW, "width": SEATS_A_ROW}


@contextmanager
def configured(url: str, secret_key: str = "-" * 32) -> Iterator[None]:
    """Set the settings that functions of db/ read; the other servers named here are not called."""
    values = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1", "SMTP_URL": "smtp://127.0.0.1"}
    values |= {"SECRET_KEY": secret_key, "STRIPE_API_KEY": "-", "STRIPE_WEBHOOK_SECRET": "-"}
    before = os.environ.copy()
    os.environ |= values
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
        settings.cache_clear()


def empty(conn: Conn) -> None:
    """Empty all tables, then add one organisation with a venue, a plan and a gateway account."""
    tables = conn.execute(
        "SELECT string_agg(format('%I', relname), ', ') AS names FROM pg_class"
        " WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace"
        " AND relname NOT IN ('legal_moves', 'currencies', 'payment_methods', 'jobs',"
        " 'schema_version', 'audits')"
    )
    truncate(conn, one(tables)["names"], "RESTART IDENTITY")
    conn.execute(ORGANISATION)


def truncate(conn: Conn, tables: str, how: str = "") -> None:
    """Truncate tables with triggers off, since the state log forbids it."""
    conn.execute("SET session_replication_role = replica")
    conn.execute(f"TRUNCATE {tables} {how} CASCADE")
    conn.execute("RESET session_replication_role")


def add_event(conn: Conn, seats: int, *, weight: int = 1, price: int = 5000) -> Event:
    id = one(conn.execute(EVENT, {"weight": weight, "price": price}))["id"]
    conn.execute(f"CREATE SEQUENCE IF NOT EXISTS entry_numbers_{id} CACHE 1")
    conn.execute(f"ALTER SEQUENCE entry_numbers_{id} RESTART")
    event = Event(id, seats)
    add_seats(conn, event)
    return event


def add_seats(conn: Conn, event: Event) -> None:
    conn.execute(SEATS, event.size)


def add_entries(conn: Conn, event: Event, count: int, wishes: str = PAIRS) -> None:
    """Add `count` entries at the end of the queue."""
    last = one(conn.execute(NUMBERS, {"event": event.id, "count": count}))["last"]
    numbers = {"first": last - count + 1, "last": last}
    conn.execute(ENTRIES.format(wishes=wishes), event.size | numbers)


def settle_down(conn: Conn) -> None:
    """Vacuum and checkpoint, so that earlier work does not slow the measurement."""
    conn.execute("VACUUM ANALYZE")
    conn.execute("CHECKPOINT")


def serve_one_lane(conn: Conn, batch: int) -> tuple[int, Drained] | None:
    """Do one transaction of the drain actor; return the event served and what was decided."""
    with conn.transaction():
        event = lanes.next_lane(conn)
        return None if event is None else (event, lanes.drain(conn, event, batch))


def drain_until_it_waits(conn: Conn, batch: int) -> int:
    """Serve lanes until there is nothing to decide; return the number of bookings."""
    booked = idle = 0
    while served := serve_one_lane(conn, batch):
        booked += served[1].booked
        idle = 0 if served[1].taken else idle + 1
        assert idle < MOST_IDLE, f"{idle} batches of event {served[0]} decided nothing"
    return booked


def count_held(conn: Conn, event: Event) -> int:
    query = "SELECT count(*) AS held FROM seats WHERE event_id = %s AND state = 'held'"
    return int(one(conn.execute(query, [event.id]))["held"])
