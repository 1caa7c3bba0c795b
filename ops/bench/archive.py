"""archive.old_bookings: what a booking costs with many old bookings in the tables, and without.

There are two databases on one server. One of them holds `--old-bookings` bookings of one seat each,
for events that ended long ago. None of them is archived: they are in the live tables and indexes.
Each round sells an event out in both, in the database alone: joining, the drain, paying with all
steps of the saga except the gateway's calls, reading the booking and the buyer's list of bookings.
"""

from pathlib import Path
from uuid import UUID

from db.bookings import bookings
from db.connections import Conn
from db.payments import payments
from db.payments.payments import PaymentOutcome
from db.queue import entries
from db.runtime.settings import Settings
from ops.bench import events
from ops.bench.events import Event
from ops.bench.measure import Options, Row, Sample, compare, timed
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

SOLD = 500  # bookings, a round
PRICE = 2 * 5000
AN_EVENT = 2000
AT_ONCE = 250_000

OLD_EVENTS = """
INSERT INTO events (organisation_id, venue_id, plan_version_id, gateway_account_id, name, state,
    starts_at, on_sale_at, off_sale_at, time_zone, currency)
SELECT 1, 1, 1, 1, 'Long ago', 'closed', now() - interval '60 d', now() - interval '90 d',
    now() - interval '61 d', 'UTC', 'EUR' FROM generate_series(1, %s)
"""

# All ids of old booking n are computed from n. Triggers are off and foreign keys are not checked:
# so a million bookings take a minute.
OLD = """
CREATE TEMP TABLE old AS
SELECT n, (SELECT min(id) FROM events) + n / {an_event} AS event_id, uuid7() AS entry,
    uuid7() AS id, uuid7() AS payment, 1 + n %% {an_event} AS seat, 1000000 + n / 3 AS buyer
FROM generate_series(%(first)s::bigint, %(last)s) n;
INSERT INTO entries (event_id, id, number, organisation_id, buyer_id, state, quantity, category,
    idempotency_key, request_sha256, decided_at, booking_id)
SELECT event_id, entry, seat, 1, buyer, 'booked', 1, 1, n::text, sha256(n::text::bytea), now(), id
FROM old;
INSERT INTO payments (id, event_id, booking_id, organisation_id, gateway_account_id, state, amount,
    currency, params, gateway_ref, captured)
SELECT payment, event_id, id, 1, 1, 'captured', 5000, 'EUR', '{{}}', 'pi_' || n, 5000 FROM old;
INSERT INTO bookings (event_id, id, code, organisation_id, gateway_account_id, buyer_id, entry_id,
    state, quantity, currency, total, deadline, payment_id, confirmed_at, created_at)
SELECT event_id, id, n::text, 1, 1, buyer, entry, 'confirmed', 1, 'EUR', 5000, now(), payment,
    now(), now() - interval '80 d' FROM old;
INSERT INTO booking_items (event_id, booking_id, seat, category, price, fee, tax_rate, tax,
    currency)
SELECT event_id, id, seat, 1, 5000, 0, 0, 0, 'EUR' FROM old;
INSERT INTO seats (event_id, seat, category, centre, state, booking_id)
SELECT event_id, seat, 1, 0, 'sold', id FROM old;
INSERT INTO tickets (event_id, booking_id, seat) SELECT event_id, id, seat FROM old;
INSERT INTO emails (event_id, booking_id, buyer_id, template, state, sent_at)
SELECT event_id, id, buyer, 'confirmed', 'sent', now() FROM old;
DROP TABLE old
"""

START = "SELECT start_payment(%s, %s, %s, 'pm_card_visa', 'https://usher.example')"


def old_bookings(options: Options, var_dir: Path) -> Row:
    with Postgres(var_dir / "pg") as postgres:
        with_old, without = (prepare(postgres, name) for name in ("old", "new"))
        with connected(with_old) as old, connected(without) as new:
            fill(old, options)
            events.settle_down(old)
            return compare(
                "archive.old_bookings",
                "bookings/s",
                f"{options.old_bookings:,} old bookings in the tables; {SOLD:,} pairs a round:"
                " joining, drain, paying without the gateway, looking",
                options,
                lambda: sell(postgres, old),
                lambda: sell(postgres, new),
                "no old bookings",
            )


def prepare(postgres: Postgres, name: str) -> str:
    url = postgres.create_database(name)
    migrate(url)
    with connected(url) as conn:
        events.empty(conn)
    return url


def fill(conn: Conn, options: Options) -> None:
    conn.execute(OLD_EVENTS, [options.old_bookings // AN_EVENT + 1])
    conn.execute("SET session_replication_role = replica")
    for first in range(0, options.old_bookings, AT_ONCE):
        last = min(first + AT_ONCE, options.old_bookings) - 1
        for statement in OLD.format(an_event=AN_EVENT).split(";"):
            conn.execute(statement, {"first": first, "last": last})
        options.say(f"  {last + 1:,} old bookings")
    conn.execute("RESET session_replication_role")


def sell(postgres: Postgres, conn: Conn) -> Sample:
    """Sell all seats of a new event in pairs."""
    event = events.add_event(conn, 2 * SOLD)
    buyers = range(1, SOLD + 1)
    with timed(lambda: [postgres.pid]) as watch:
        for buyer in buyers:
            join(conn, event, buyer)
        events.drain_until_it_waits(conn, Settings.drain_batch)
        query = "SELECT id, buyer_id FROM bookings WHERE event_id = %s"
        held = {row["id"]: row["buyer_id"] for row in conn.execute(query, [event.id])}
        for booking, buyer in held.items():
            pay(conn, event, booking, buyer)
            bookings.get_booking(conn, event.id, booking, buyer)
            bookings.list_bookings(conn, buyer, None, 20)
    assert len(held) == SOLD
    return Sample(SOLD, watch.seconds, watch.cpu_seconds)


def join(conn: Conn, event: Event, buyer: int) -> None:
    wish = {"event_id": event.id, "buyer_id": buyer, "key": str(buyer), "sha256": b""}
    wish |= {"quantity": 2, "category": None, "together": True, "accessible": 0, "seats": None}
    entries.join_queue(conn, wish | {"accept_terms": True, "admission": False})


def pay(conn: Conn, event: Event, booking: UUID, buyer: int) -> None:
    """Run the saga's transactions as if the gateway accepted everything."""
    conn.execute(START, [event.id, booking, buyer])
    for state, captured, move in (
        ("authorised", 0, payments.secure_booking),
        ("captured", PRICE, payments.confirm_booking),
    ):
        with conn.transaction():
            progress = payments.get_progress(conn, event.id, booking)
            outcome = PaymentOutcome(state, f"pi_{booking}", PRICE, "EUR", captured)
            assert payments.record(conn, progress, outcome)
            assert move(conn, progress)
    conn.execute("DELETE FROM outbox WHERE key = %s", [str(booking)])


ROWS = {"archive.old_bookings": old_bookings}
