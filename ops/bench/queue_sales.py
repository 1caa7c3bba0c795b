"""queue.vacuum: the size of tables after many sales in a row, with autovacuum as configured.

Each sale uses the functions and statements of a real sale, without its processes. Buyers join, some
leave, and the drain serves them. Half of the seats are free of charge. The others are held for
payment: half of these holds are paid, half expire. Tasks are leased and finished, mails are marked
as sent, and at the end the queue is ended. Only time is shortened: deadlines are set to now.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from db.connections import Conn, one
from db.durable import outbox
from db.mail import emails
from db.queue import lanes
from db.runtime.settings import Settings
from ops.bench import events
from ops.bench.measure import Options, Row, state
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

AT_ONCE = 1000
LEASE_S = 60
VACUUM_S = 60  # until autovacuum must have run
PASSES = 3
BOUNDED = ("outbox", "lane_state", "lane_wakes")
GROWING = (
    "entries", "queue_leavers", "bookings", "booking_items", "seats", "buyer_seats", "tickets",
    "payments", "emails", "state_log",
)  # fmt: skip

JOIN = """
SELECT join_queue(%(event)s, n, 'key', '', 2, (1 + n %% 4)::int, true, 0, null, false)
FROM generate_series(%(first)s::bigint, %(last)s) n
"""
LEAVE = """
UPDATE entries SET state = 'left', decided_at = clock_timestamp()
WHERE event_id = %(event)s AND number %% 10 = 0 AND state = 'waiting'
"""
PAY = """
WITH chosen AS MATERIALIZED (
    SELECT id, buyer_id FROM bookings
    WHERE event_id = %(event)s AND state = 'held' AND hashtext(id::text) %% 2 = 0 LIMIT %(limit)s
)
SELECT c.id, p.payment_id
FROM chosen c, start_payment(%(event)s, c.id, c.buyer_id, 'card', 'http://localhost/') p
"""
CAPTURE = """
UPDATE payments SET state = 'captured', captured = amount, gateway_ref = id::text
WHERE id = ANY (%(payments)s)
"""
CONFIRM = """
SELECT CASE WHEN secure_booking(%(event)s, b, p) THEN
    cardinality(confirm_bookings(%(event)s, array[b], array[p])) = 1 END AS done
FROM unnest(%(bookings)s::uuid[], %(payments)s::uuid[]) x(b, p)
"""
EXPIRE = """
UPDATE bookings SET deadline = clock_timestamp() WHERE event_id = %(event)s AND state = 'held'
"""
QUEUES = "SELECT DISTINCT queue FROM outbox"
HURRY = "UPDATE outbox SET run_at = clock_timestamp(), resend_at = clock_timestamp()"
CLOSE = "UPDATE events SET off_sale_at = clock_timestamp() WHERE id = %(event)s"
VACUUMS = """
SELECT sum(autovacuum_count)::int AS count, sum(n_dead_tup)::int AS dead
FROM pg_stat_user_tables WHERE relname = ANY (%s)
"""
SIZES = """
SELECT t AS name, sum(pg_total_relation_size(coalesce(p.relid, t::regclass)))::bigint AS size
FROM unnest(%s::text[]) t LEFT JOIN pg_partition_tree(t::regclass) p ON true GROUP BY t
"""


def vacuum(options: Options, var_dir: Path) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        url = postgres.create_database("usher")
        migrate(url)
        with events.configured(url), connected(url) as conn:
            events.empty(conn)
            sizes = []
            for number in range(options.sales):
                hold_sale(conn, options.joins, number * options.joins)
                sizes.append(measure_tables(conn))
                bounded, growing = total(sizes[-1], BOUNDED), total(sizes[-1], GROWING)
                options.say(f"  queue.vacuum {number + 1}/{options.sales}: {bounded:,.0f} kB in"
                    f" tables that empty, {growing:,.0f} in those that keep")  # fmt: skip
            return compare_sizes(sizes, options, conn)


def hold_sale(conn: Conn, joins: int, before: int) -> None:
    """Run a sale from the first join to the last mail; `before`: accounts of earlier sales."""
    sold = events.add_event(conn, joins)
    event = {"event": sold.id, "limit": AT_ONCE}
    conn.execute("UPDATE event_categories SET price = 0 WHERE category <= 2")
    for first in range(before + 1, before + joins + 1, AT_ONCE):
        last = min(first + AT_ONCE, before + joins + 1) - 1
        conn.execute(JOIN, event | {"first": first, "last": last})
    conn.execute(LEAVE, event)
    for _ in range(PASSES):
        events.drain_until_it_waits(conn, Settings.drain_batch)
        settle_holds(conn, event)
    conn.execute(CLOSE, event)
    events.drain_until_it_waits(conn, Settings.drain_batch)
    settle_holds(conn, event)
    work_off_tasks(conn)


def settle_holds(conn: Conn, event: dict[str, Any]) -> None:
    """Pay every other hold and let the others expire."""
    while paid := conn.execute(PAY, event).fetchall():
        payments = [row["payment_id"] for row in paid]
        conn.execute(CAPTURE, {"payments": payments})
        pairs = {"bookings": [row["id"] for row in paid], "payments": payments}
        conn.execute(CONFIRM, event | pairs)
    conn.execute(EXPIRE, event)
    while lanes.expire_holds(conn, AT_ONCE)[0]:
        pass


def work_off_tasks(conn: Conn) -> None:
    """Lease and finish all tasks as relay and workers do, also those that are not due yet."""
    conn.execute(HURRY)
    for queue in [row["queue"] for row in conn.execute(QUEUES)]:
        while due := outbox.take_due(conn, queue, AT_ONCE // 10):
            ids, token = [task.id for task in due], uuid4()
            leased = outbox.lease(conn, ids, token, LEASE_S, "bench", alone=False)
            written = [UUID(task.args["email_id"]) for task in leased if "email_id" in task.args]
            with conn.transaction():
                outbox.lock(conn, ids, token)
                emails.mark_sent(conn, written)
                outbox.finish(conn, ids, token)


def measure_tables(conn: Conn) -> dict[str, float]:
    """The size of each table in kB, with its indexes."""
    rows = conn.execute(SIZES, [[*BOUNDED, *GROWING]])
    return {row["name"]: row["size"] / 1024 for row in rows}


def total(sizes: Mapping[str, float], tables: Sequence[str]) -> float:
    return sum(sizes[table] for table in tables)


def wait_for_autovacuum(conn: Conn) -> dict[str, int]:
    """Wait until autovacuum has run once; small sales may end before it does."""
    deadline = time.monotonic() + VACUUM_S
    while not (found := one(conn.execute(VACUUMS, [[*BOUNDED, *GROWING]])))["count"]:
        assert time.monotonic() < deadline, "autovacuum has not run once: is it off?"
        time.sleep(0.1)
    return found


def compare_sizes(sizes: Sequence[Mapping[str, float]], options: Options, conn: Conn) -> Row:
    vacuums = wait_for_autovacuum(conn)
    first, second, last = sizes[0], sizes[1], sizes[-1]
    left = ", ".join(f"{table} {first[table]:,.0f} to {last[table]:,.0f} kB" for table in BOUNDED)
    grown = total(second, GROWING) - total(first, GROWING)
    grows = total(last, GROWING) - total(sizes[-2], GROWING)
    return state(
        "queue.vacuum",
        "kB",
        f"tables that empty, after {len(sizes)} sales of {options.joins:,} joins: {left};"
        f" those that keep grew by {grown:,.0f} kB with the second sale, {grows:,.0f} with the"
        f" last; {vacuums['count']} autovacuums, {vacuums['dead']:,} dead rows",
        [(total(last, BOUNDED), total(first, BOUNDED))],
        "after the first sale",
        "lower",
    )


ROWS = {"queue.vacuum": vacuum}
