"""search.bookings: how long an organiser waits for a page of bookings, by what is looked for.

One organisation has `--old-bookings` bookings of as many buyers, in events of 20,000 seats. Names
follow the frequencies of real ones (a few are very common), Vietnamese and Arabic among them. The
terms are written by the task's own code. Each kind of search is asked many times, for other words
each time; the row is the p95 of the slowest kind, with all that a request does in the database.
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

from db.accounts.audit_log import audit
from db.connections import Conn
from db.maintenance import booking_search
from ops.bench import events
from ops.bench.measure import Options, Row
from ops.deploy.migrate import migrate
from ops.local.servers import Postgres, connected

AN_EVENT = 20_000
AT_ONCE = 100_000
INDEXED_AT_ONCE = 1000
TRIES = 60
PAGE = 21

FIRST = (
    *("Maria", "Ana", "José", "João", "Nguyễn", "Thị", "Trần", "Đặng", "محمد", "فاطمة", "Søren"),
    *(f"{head}{tail}" for head in ("Al", "Be", "Ca", "Do", "El", "Fi") for tail in (
        *("an", "bert", "cia", "dina", "ena", "frid", "gar", "hild", "ina", "jo", "ko", "la"),)),
)  # fmt: skip
LAST = (
    *("Silva", "García", "Nguyễn", "Müller", "Şahin", "Ánh", "الزهراني", "أحمد", "O'Brien"),
    *(f"{head}{middle}{tail}" for head in ("Mar", "Ber", "Kal", "Tor", "Win", "Sal", "Dov", "Hen")
      for middle in ("a", "e", "i", "o", "u", "en", "ar", "il", "on", "ut", "is", "ez")
      for tail in ("ski", "son", "mann", "ez", "ova", "idis", "ini", "berg", "ström", "eira")),
)  # fmt: skip

# All ids of booking n are computed from n, as in archive.py. One in 4 ended unpaid, one in 5,000 is
# frozen; one in 20 is paid by a transfer.
BOOKINGS = """
CREATE TEMP TABLE made AS
SELECT n, (SELECT min(id) FROM events) + n / {an_event} AS event_id, uuid7() AS id,
    uuid7() AS payment, 1 + n %% {an_event} AS seat,
    CASE WHEN n %% 5000 = 7 THEN 'frozen' WHEN n %% 4 = 1 THEN 'expired'
        ELSE 'confirmed' END AS state,
    upper(lpad(to_hex(n::bigint * 2654435761 & 4294967295), 8, '0')) AS code
FROM generate_series(%(first)s::bigint, %(last)s) n;
INSERT INTO payments (id, event_id, booking_id, organisation_id, gateway_account_id, state, method,
    amount, currency, params, gateway_ref, captured, card_last4)
SELECT payment, event_id, id, 1, 1, 'captured',
    CASE WHEN n %% 20 = 3 THEN 'offline' ELSE 'card' END, 5000, 'EUR', '{{}}', 'pi_' || n, 5000,
    CASE WHEN n %% 20 <> 3 THEN (n * 7919) %% 10000 END
FROM made WHERE state <> 'expired';
INSERT INTO transfers (event_id, booking_id, payment_id, gateway_account_id, reference, amount,
    currency, recorded_by)
SELECT event_id, id, payment, 1, 'BANK/' || n, 5000, 'EUR', 'organiser:1' FROM made
WHERE n %% 20 = 3 AND state <> 'expired';
INSERT INTO bookings (event_id, id, code, organisation_id, gateway_account_id, buyer_id, state,
    quantity, currency, total, deadline, payment_id, confirmed_at, ended_at, created_at)
SELECT event_id, id, code, 1, 1, n + 1, state, 1, 'EUR', 5000, now(),
    CASE WHEN state <> 'expired' THEN payment END, CASE WHEN state <> 'expired' THEN now() END,
    CASE WHEN state = 'expired' THEN now() END, now() FROM made;
INSERT INTO booking_items (event_id, booking_id, seat, category, price, fee, tax_rate, tax,
    currency)
SELECT event_id, id, seat, 1, 5000, 0, 0, 0, 'EUR' FROM made;
INSERT INTO seats (event_id, seat, category, centre, state, booking_id)
SELECT event_id, seat, 1, 0, 'sold', id FROM made WHERE state <> 'expired';
INSERT INTO bookings_to_index (booking_id, event_id) SELECT id, event_id FROM made;
DROP TABLE made
"""

PLAN = """
INSERT INTO plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion,
    restricted, general_admission, zone, row_label, number, x, y)
SELECT 1, n, 'seat-' || n, 1, 0, false, false, false, false, 'Stalls', (1 + n / 100)::text,
    (n %% 100)::text, 0, 0
FROM generate_series(1, %(seats)s) n
"""


def bookings(options: Options, var_dir: Path) -> Row:
    count = options.old_bookings
    with Postgres(var_dir / "pg") as postgres:
        url = postgres.create_database("search")
        migrate(url)
        with connected(url) as conn:
            events.empty(conn)
            seconds = fill(conn, options)
            events.settle_down(conn)
            waits = {kind: measure(conn, ask) for kind, ask in kinds(conn, count)}
    slowest = max(waits, key=lambda kind: waits[kind])
    said = ", ".join(f"{kind} {ms:.1f}" for kind, ms in sorted(waits.items()))
    options.say(f"  search.bookings: p95 in ms: {said}; terms written at {count / seconds:,.0f}/s")
    return Row(
        name="search.bookings",
        value=round(waits[slowest], 2),
        unit="ms",
        better="lower",
        reference="the list without a search",
        reference_value=round(waits["all"], 2),
        ratio=round(waits[slowest] / waits["all"], 3),
        cpu_ms=None,
        reference_cpu_ms=None,
        cpu_ratio=None,
        rounds=1,
        note=f"{count:,} bookings of one organisation, warm; the slowest is {slowest}; {said}",
    )


def fill(conn: Conn, options: Options) -> float:
    """Add the bookings and write their terms; the seconds that the terms took."""
    count = options.old_bookings
    conn.execute("SET session_replication_role = replica")
    conn.execute(
        """INSERT INTO events (organisation_id, venue_id, plan_version_id, gateway_account_id, name,
               state, starts_at, on_sale_at, off_sale_at, time_zone, currency)
           SELECT 1, 1, 1, 1, 'Evening', 'closed', now() + interval '1 d', now() - interval '1 d',
               now(), 'UTC', 'EUR' FROM generate_series(1, %s)""",
        [count // AN_EVENT + 1],
    )
    conn.execute(PLAN, {"seats": AN_EVENT})
    dice = random.Random(14)
    with conn.cursor().copy("COPY accounts (id) FROM STDIN") as copy:
        for n in range(count):
            copy.write_row((n + 1,))
    with conn.cursor().copy("COPY buyers (id, email, name) FROM STDIN") as copy:
        for n in range(count):
            copy.write_row((n + 1, f"buyer{n}@example.org", a_name(dice)))
    seconds = 0.0
    for first in range(0, count, AT_ONCE):
        last = min(first + AT_ONCE, count) - 1
        for statement in BOOKINGS.format(an_event=AN_EVENT).split(";"):
            conn.execute(statement.encode(), {"first": first, "last": last})
        began = time.perf_counter()
        write_terms(conn)
        seconds += time.perf_counter() - began
        options.say(f"  {last + 1:,} bookings")
    conn.execute("RESET session_replication_role")
    return seconds


def a_name(dice: random.Random) -> str:
    """The first of each list are common: the word at place n comes 1 / n times as often."""
    first, last = (names[int(len(names) ** dice.random()) - 1] for names in (FIRST, LAST))
    return f"{first} {last}"


def write_terms(conn: Conn) -> None:
    """What the task does."""
    marked = [{"event_id": 0, "id": 0}]
    while marked:
        with conn.transaction():
            marked = booking_search.take_marked(conn, INDEXED_AT_ONCE)
            booking_search.index(conn, marked)


Asked = Callable[[random.Random], dict[str, Any]]


def kinds(conn: Conn, count: int) -> Iterator[tuple[str, Asked]]:
    """What is looked for, by kind, other things each time."""
    events_ = [row["id"] for row in conn.execute("SELECT id FROM events ORDER BY id")]
    some = conn.execute(
        "SELECT code, id FROM bookings TABLESAMPLE BERNOULLI (%s) LIMIT 5000",
        [min(100, 500_000 / count)],
    ).fetchall()
    frequent = ("expired", "confirmed", "frozen")
    yield "all", lambda dice: {}
    yield "a deep page", lambda dice: {"starting_after": dice.choice(some)["id"]}
    yield "email", lambda dice: {"email": f"buyer{dice.randrange(count)}@example.org"}
    yield "code", lambda dice: {"code": dice.choice(some)["code"]}
    yield (
        "code in a transfer",
        lambda dice: {"reference": f"Thanks! {dice.choice(some)['code']} Tosca"},
    )
    yield "reference", lambda dice: {"reference": f"bank {dice.randrange(count) // 20 * 20 + 3}"}
    yield "card", lambda dice: {"card": f"{dice.randrange(10_000):04}"}
    yield "a common name", lambda dice: {"name": dice.choice(FIRST[:6])}
    yield "a rare name", lambda dice: {"name": dice.choice(LAST[-200:])}
    yield (
        "Vietnamese",
        lambda dice: {"name": dice.choice(("nguyen", "tran", "dang", "anh", "nguyen thi"))},
    )
    yield "Arabic", lambda dice: {"name": dice.choice(("محمد", "احمد", "فاطمه الزهراني"))}
    yield "two names", lambda dice: {"name": f"{dice.choice(FIRST[:12])} {dice.choice(LAST[:100])}"}
    yield (
        "seat",
        lambda dice: {
            "event_id": dice.choice(events_[:-1] or events_),
            "seat": f"{dice.randrange(1, 200)} {dice.randrange(100)}",
        },
    )
    yield "state", lambda dice: {"state": dice.choice(frequent)}
    yield "a state that none has", lambda dice: {"state": "review"}
    yield "name and state", lambda dice: {"name": dice.choice(FIRST[:20]), "state": "frozen"}
    yield "event", lambda dice: {"event_id": dice.choice(events_)}
    yield (
        "event and name",
        lambda dice: {"event_id": dice.choice(events_), "name": dice.choice(LAST)},
    )
    yield (
        "event and state",
        lambda dice: {"event_id": dice.choice(events_), "state": dice.choice(frequent)},
    )


NOTHING = dict.fromkeys(
    ("event_id", "state", "email", "name", "code", "reference", "card", "seat", "tag")
)


def measure(conn: Conn, ask: Asked) -> float:
    """The p95 of a kind of search in ms, after as many tries that warm the caches."""
    waits = []
    for round_ in ("warm", "measured"):
        dice = random.Random(round_)
        for _ in range(TRIES):
            wanted = NOTHING | {"starting_after": None, "limit": PAGE} | ask(dice)
            began = time.perf_counter()
            with conn.transaction():
                found = booking_search.list_bookings(conn, 1, 1, wanted)
                audit(conn, "bookings read", None, {"rows": len(found)}, organisation_id=1)
            waits.append((time.perf_counter() - began) * 1000)
    return quantiles(waits[TRIES:], n=20)[-1]


ROWS = {"search.bookings": bookings}
