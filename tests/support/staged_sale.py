"""An event with bookings in every state, made in the database without any process running.

Twelve rows of ten seats: rows 1 to 6 cost money (category 1), the others nothing (category 2).
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from db.connections import Conn, only

CATALOGUE = """
with organisation as (
    insert into organisations (name) values ('Usher Theatre') returning id
), gateway as (
    insert into gateway_accounts (organisation_id, provider)
    select id, 'stripe' from organisation returning id
), venue as (
    insert into venues (organisation_id, name, time_zone)
    select id, 'Theatre', 'Europe/Berlin' from organisation returning id
), plan as (
    insert into plans (organisation_id, venue_id, name)
    select o.id, v.id, 'Theatre' from organisation o, venue v returning id
), version as (
    insert into plan_versions (plan_id, version, source, seat_count)
    select id, 1, '{}', 120 from plan returning id
), categories as (
    insert into plan_categories (plan_version_id, category, name)
    select v.id, c.category, c.name
    from version v, (values (1, 'Stalls'), (2, 'Balcony')) c (category, name)
    returning plan_version_id
)
insert into events (organisation_id, venue_id, plan_version_id, gateway_account_id, name, state,
    starts_at, on_sale_at, off_sale_at, time_zone, currency, seats_per_buyer, hold_seconds)
select o.id, v.id, p.id, g.id, 'Evening', 'on_sale', now() + interval '30 days',
    now() - interval '1 hour', now() + interval '29 days', 'Europe/Berlin', 'EUR', 8, 600
from organisation o, gateway g, venue v, version p
returning id
"""

SEATS = """
insert into plan_seats (plan_version_id, seat, guid, category, centre, accessible, companion,
    restricted, general_admission, zone, row_label, number, x, y)
select e.plan_version_id, r * 11 + n, format('%%s-%%s', r, n), c.category,
    n - 5, false, false, false, false, c.name,
    r::text, n::text, n, r
from events e, generate_series(1, 12) r, generate_series(1, 10) n,
    lateral (select category, name from plan_categories c
        where c.plan_version_id = e.plan_version_id
        and c.category = case when r <= 6 then 1 else 2 end) c
where e.id = %(event)s
"""

PRICES = """
insert into event_categories (event_id, category, name, price, fee, tax_rate)
values (%(event)s, 1, 'Stalls', 5000, 250, 0.19), (%(event)s, 2, 'Balcony', 0, 0, 0)
"""


@dataclass
class StagedSale:
    """What is in the database, and moves to bring it there."""

    conn: Conn
    event: int

    def add_buyer(self, name: str) -> int:
        """The buyer of that name, who may be there."""
        query = "select id from buyers where name = %s"
        for known in self.conn.execute(query, [name]):
            return int(known["id"])
        buyer = only(
            self.conn.execute("insert into accounts default values returning id").fetchall()
        )["id"]
        self.conn.execute(
            "insert into buyers (id, email, name) values (%s, %s, %s)",
            [buyer, f"{name}@usher.example", name],
        )
        return int(buyer)

    def join(self, name: str, quantity: int, category: int) -> UUID:
        """A buyer joins; the entry's id."""
        entry = only(
            self.conn.execute(
                "select * from join_queue(%s, %s, uuid7()::text, '', %s, %s, true, 0, null, false)",
                [self.event, self.add_buyer(name), quantity, category],
            ).fetchall()
        )
        assert entry["outcome"] == "joined"
        return UUID(str(entry["id"]))

    def drain(self) -> None:
        with self.conn.transaction():
            lane = only(self.conn.execute("select next_lane() as event").fetchall())["event"]
            self.conn.execute("select drain_lane(%s, 100)", [lane])

    def hold(self, name: str, quantity: int = 2, category: int = 1) -> UUID:
        """A buyer's booking, held; confirmed where category 2 makes it free."""
        entry = self.join(name, quantity, category)
        self.drain()
        query = "select id from bookings where event_id = %s and entry_id = %s"
        return UUID(str(only(self.conn.execute(query, [self.event, entry]).fetchall())["id"]))

    def begin_payment(self, booking: UUID, state: str = "intended") -> UUID:
        """held → authorising, with a payment and its task."""
        query = """
            insert into payments (event_id, booking_id, organisation_id, gateway_account_id, amount,
                currency, params)
            select event_id, id, organisation_id, gateway_account_id, total, currency, '{}'
            from bookings where event_id = %s and id = %s returning id"""
        payment = UUID(str(only(self.conn.execute(query, [self.event, booking]).fetchall())["id"]))
        self.set_booking(booking, "authorising", payment_id=payment)
        self.enqueue("advance", "payments", str(booking), booking_id=str(booking))
        if state != "intended":
            self.set_payment(payment, state)
        return payment

    def confirm(self, booking: UUID) -> UUID:
        """The whole way of a held booking that costs something."""
        payment = self.begin_payment(booking, "authorised")
        self.set_booking(booking, "secured")
        self.set_payment(payment, "captured")
        with self.conn.transaction():
            self.conn.execute(
                "update seats set state = 'sold' where event_id = %s and booking_id = %s",
                [self.event, booking],
            )
            self.set_booking(booking, "confirmed")
            self.conn.execute("select issue_tickets(%s, %s)", [self.event, [booking]])
            self.finish("advance", booking)
        return payment

    def cancel(self, booking: UUID, payment: UUID) -> None:
        """A confirmed booking is cancelled, its money given back."""
        with self.conn.transaction():
            self.conn.execute(
                "update tickets set state = 'void', voided_at = now() where booking_id = %s",
                [booking],
            )
            self.conn.execute("select release_seats(%s, %s)", [self.event, [booking]])
            self.set_booking(booking, "cancelled")
            self.conn.execute(
                "insert into refunds (payment_id, event_id, booking_id, amount, currency, reason,"
                " gateway_ref) select id, event_id, booking_id, amount, currency, 'asked', 're_1'"
                " from payments where id = %s",
                [payment],
            )

    def number_receipts(self) -> None:
        """Those that are due by now."""
        self.conn.execute(
            "select number_receipts(organisation_id, 500) from events where id = %s", [self.event]
        )

    def dispute(self, booking: UUID) -> None:
        """A confirmed booking's payment is disputed."""
        self.conn.execute(
            "select record_dispute(event_id, id, 'du_1', 'needs_response', 'fraudulent', amount,"
            " currency, null) from payments where booking_id = %s",
            [booking],
        )

    def review(self, booking: UUID) -> None:
        """A booking whose payment is authorised has to be looked at."""
        with self.conn.transaction():
            self.conn.execute(
                "update bookings set state = 'review', review_until = now() + interval '1 day',"
                " review_reasons = '[]' where id = %s",
                [booking],
            )
            self.finish("advance", booking)

    def expire(self, booking: UUID) -> None:
        self.conn.execute(
            "update bookings set deadline = now() - interval '1 s' where id = %s", [booking]
        )
        self.conn.execute("select expire_holds(10)")

    def set_booking(self, booking: UUID, state: str, payment_id: UUID | None = None) -> None:
        self.conn.execute(
            "update bookings set state = %(state)s, payment_id = coalesce(%(payment)s, payment_id),"
            " confirmed_at = case when %(state)s = 'confirmed' then now() else confirmed_at end,"
            " ended_at = case when %(state)s in ('expired', 'cancelled', 'failed') then now() end"
            " where id = %(id)s",
            {"state": state, "payment": payment_id, "id": booking},
        )

    def set_payment(self, payment: UUID, state: str) -> None:
        self.conn.execute(
            "update payments set state = %(state)s, gateway_ref = 'pi_' || id,"
            " captured = case when %(state)s = 'captured' then amount else captured end"
            " where id = %(id)s",
            {"state": state, "id": payment},
        )

    def enqueue(self, actor: str, queue: str, key: str, **args: Any) -> None:
        self.conn.execute(
            "select enqueue(%s, %s, %s, %s, %s)", [actor, queue, key, Jsonb(args), self.event]
        )

    def finish(self, actor: str, booking: UUID) -> None:
        self.conn.execute("delete from outbox where actor = %s and key = %s", [actor, str(booking)])


def stage_event(conn: Conn) -> StagedSale:
    """An event on sale, and nobody there yet."""
    event = only(conn.execute(CATALOGUE).fetchall())["id"]
    conn.execute(SEATS, {"event": event})
    conn.execute(PRICES, {"event": event})
    conn.execute("select open_event(%s)", [event])
    return StagedSale(conn, event)


def stage_sale(conn: Conn) -> dict[str, UUID]:
    """An event with bookings in every state, none of them wrong. Gives the bookings by their state;
    `free` is confirmed and cost nothing, `action` is authorising and waits for the buyer.
    """
    sale = stage_event(conn)
    names = ("held", "authorising", "action", "expiring", "review", "secured", "confirmed",
             "frozen", "expired", "cancelled")  # fmt: skip
    bookings = {name: sale.hold(name) for name in names}
    bookings["free"] = sale.hold("free", category=2)
    sale.begin_payment(bookings["authorising"])
    sale.begin_payment(bookings["action"], "requires_action")
    sale.finish("advance", bookings["action"])
    sale.begin_payment(bookings["expiring"], "unknown")
    sale.set_booking(bookings["expiring"], "expiring")
    sale.begin_payment(bookings["review"], "authorised")
    sale.review(bookings["review"])
    sale.begin_payment(bookings["secured"], "authorised")
    sale.set_booking(bookings["secured"], "secured")
    sale.confirm(bookings["confirmed"])
    sale.confirm(bookings["frozen"])
    sale.number_receipts()
    sale.dispute(bookings["frozen"])
    sale.expire(bookings["expired"])
    sale.cancel(bookings["cancelled"], sale.confirm(bookings["cancelled"]))
    sale.join("waiting", 2, 1)
    return bookings
