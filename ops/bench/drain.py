"""drain.reserve: the drain alone, best available pairs, in the database.

A hall of rows of 20 seats in four categories that all cost money; half as many entries as seats, a
pair each. One connection takes lanes and decides 1,000 entries a transaction, as the drain actor
does, until every seat is held; bookings, items, counters and reminders are written too.
"""

from pathlib import Path

import psycopg

from ops.bench import pgbench
from ops.bench.measure import Options, Row, Sample, compare, timed
from ops.migrate import migrate
from ops.servers import Postgres

BATCH = 1000
SEATS_A_ROW = 20

EMPTY = """
TRUNCATE organisations, gateway_accounts, venues, plans, plan_versions, events, event_categories,
    lanes, lane_wakes, entries, bookings, booking_items, seats, buyer_seats, tickets, payments,
    emails, outbox, state_log RESTART IDENTITY CASCADE
"""

EVENT = """
INSERT INTO organisations (name) VALUES ('Bench');
INSERT INTO gateway_accounts (organisation_id, provider) VALUES (1, 'stripe');
INSERT INTO venues (organisation_id, name, time_zone) VALUES (1, 'Hall', 'UTC');
INSERT INTO plans (organisation_id, venue_id, name) VALUES (1, 1, 'Hall');
INSERT INTO plan_versions (plan_id, version, source, seat_count) VALUES (1, 1, '{}', 1);
INSERT INTO events (organisation_id, venue_id, plan_version_id, gateway_account_id, name, state,
    starts_at, on_sale_at, off_sale_at, time_zone, currency)
VALUES (1, 1, 1, 1, 'Evening', 'on_sale', now() + interval '1 day', now(), now() + interval '1 day',
    'UTC', 'EUR');
INSERT INTO event_categories (event_id, category, name, price)
SELECT 1, category, category::text, 5000 FROM generate_series(1, 4) category;
INSERT INTO lanes (event_id) VALUES (1);
"""

SEATS = """
INSERT INTO seats (event_id, seat, category, centre)
SELECT 1, r * (%(width)s + 1) + n, 1 + r * 4 / %(rows)s, n - 1 - %(width)s / 2
FROM generate_series(0, %(rows)s - 1) r, generate_series(1, %(width)s) n ORDER BY 2
"""

ENTRIES = """
INSERT INTO entries (event_id, number, organisation_id, buyer_id, quantity, category,
    idempotency_key, request_sha256)
SELECT 1, n, 1, n, 2, 1 + n %% 4, n::text, '' FROM generate_series(1, %(entries)s) n
"""


def reserve(options: Options, var_dir: Path) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        reference = pgbench.Pgbench(postgres, options.reference_seconds)
        url = postgres.create_database("usher")
        migrate(url)
        return compare(
            "drain.reserve",
            "bookings/s",
            f"best available pairs, {options.seats:,} seats, {BATCH} entries a transaction, one"
            " connection",
            options,
            lambda: drain_hall(postgres, url, options.seats),
            reference.measure,
            pgbench.NAME,
        )


def drain_hall(postgres: Postgres, url: str, seats: int) -> Sample:
    with psycopg.connect(url, autocommit=True) as conn:
        fill_hall(conn, seats)
        with timed(lambda: [postgres.pid]) as watch:
            booked = drain_until_stalled(conn)
        assert booked == seats // 2, f"{booked} bookings of {seats // 2}"
        return Sample(booked, watch.seconds, watch.cpu_seconds)


def fill_hall(conn: psycopg.Connection, seats: int) -> None:
    conn.execute(EMPTY)
    conn.execute(EVENT)
    conn.execute(SEATS, {"rows": seats // SEATS_A_ROW, "width": SEATS_A_ROW})
    conn.execute(ENTRIES, {"entries": seats // 2})
    conn.execute("VACUUM ANALYZE")
    conn.execute("CHECKPOINT")


def drain_until_stalled(conn: psycopg.Connection) -> int:
    """What the drain actor does, without the actor. Returns the number of bookings."""
    total = 0
    while True:
        with conn.transaction():
            lane = conn.execute("SELECT next_lane()").fetchall()[0][0]
            if lane is None:
                return total
            query = "SELECT booked FROM drain_lane(%s, %s)"
            total += conn.execute(query, [lane, BATCH]).fetchall()[0][0]


ROWS = {"drain.reserve": reserve}
