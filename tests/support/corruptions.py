"""For each invariant a corruption of an event with bookings in every state (theatre.py).

Constraints and triggers refuse most of this: they are switched off, or dropped, to see that the
invariant would notice. `replica` switches triggers off, those that write the log included. By
invariant: a corruption that it alone must notice. %(name)s is a booking in that state.
"""

from uuid import UUID

from db.connections import Conn

REPLICA = "set session_replication_role = replica;"


CORRUPTIONS = {
    "seat_of_no_live_booking": """
        update seats set state = 'held', booking_id = %(expired)s
        where seat = (select min(seat) from seats where state = 'free')""",
    "seat_not_among_items": """
        update seats set state = 'held', booking_id = %(held)s
        where seat = (select min(seat) from seats where state = 'free')""",
    "item_without_its_seat": """
        update seats set state = 'free', booking_id = null where booking_id = %(held)s""",
    "quantity_is_not_items": "update bookings set quantity = 3 where id = %(held)s",
    "seat_sold_too_early": "update seats set state = 'sold' where booking_id = %(secured)s",
    "confirmed_seat_not_sold":
        REPLICA + "update seats set state = 'held' where booking_id = %(confirmed)s",
    "confirmed_seat_without_one_ticket": """
        update tickets set state = 'void', voided_at = now() where booking_id = %(confirmed)s""",
    "ticket_without_confirmed_booking": """
        insert into tickets (event_id, booking_id, seat)
        select event_id, booking_id, seat from booking_items where booking_id = %(held)s""",
    "returned_seat_still_owned": """
        update booking_items set returned_at = now()
        where booking_id = %(confirmed)s
            and seat = (select min(seat) from seats where booking_id = %(confirmed)s);
        update buyer_seats set seats = seats - 1
        where buyer_id = (select buyer_id from bookings where id = %(confirmed)s)""",
    "booking_without_seats_goes_on": """
        update booking_items set returned_at = now() where booking_id = %(confirmed)s;
        update buyer_seats set seats = 0
        where buyer_id = (select buyer_id from bookings where id = %(confirmed)s);
        update tickets set state = 'void', voided_at = now() where booking_id = %(confirmed)s;
        update seats set state = 'free', booking_id = null where booking_id = %(confirmed)s""",
    "confirmed_booking_not_paid_once": """
        update payments set captured = captured - 1 where booking_id = %(confirmed)s""",
    "money_without_a_booking": """
        delete from outbox where actor = 'refund';
        delete from refund_items where booking_id = %(cancelled)s;
        delete from refunds where booking_id = %(cancelled)s""",
    "two_live_payments": """
        drop index payments_one_live;
        insert into payments (event_id, booking_id, organisation_id, gateway_account_id, amount,
            currency, params)
        select event_id, booking_id, organisation_id, gateway_account_id, amount, currency, '{}'
        from payments where booking_id = %(authorising)s""",
    "refunded_more_than_captured": """
        alter table payments drop constraint payments_refunded;
        update refunds set amount = amount + 1 where booking_id = %(cancelled)s""",
    "refunds_counted_wrongly":
        REPLICA + "update payments set refunded = 1 where booking_id = %(confirmed)s",
    "refund_of_nothing_returned": """
        insert into refund_items (event_id, refund_id, booking_id, seat)
        select i.event_id, r.id, i.booking_id, i.seat from refunds r, booking_items i
        where i.booking_id = %(confirmed)s""",
    "disputed_booking_goes_on": """
        insert into disputes (gateway_ref, payment_id, event_id, booking_id, state, reason, amount,
            currency)
        select 'du_2', id, event_id, booking_id, 'needs_response', 'fraudulent', amount, currency
        from payments where booking_id = %(confirmed)s""",
    "frozen_without_dispute": "update disputes set state = 'won' where booking_id = %(frozen)s",
    "warned_booking_not_frozen": """
        insert into fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind, actionable)
        select 'issfr_1', id, event_id, booking_id, 'misc', true from payments
        where booking_id = %(confirmed)s""",
    "booked_entry_without_its_booking": """
        insert into entries (event_id, number, organisation_id, buyer_id, state, quantity,
            idempotency_key, request_sha256, decided_at, booking_id)
        select event_id, 99, organisation_id, buyer_id, 'booked', 2, 'other', '', now(), booking_id
        from entries where booking_id = %(held)s""",
    "booking_without_its_entry": REPLICA + """
        update entries set state = 'left', booking_id = null where booking_id = %(held)s""",
    "waiting_without_lane": "delete from lanes",
    "total_is_not_the_sum": """
        update booking_items set price = price - 1 where booking_id = %(confirmed)s""",
    "tax_is_not_the_rates": "update booking_items set tax = tax - 1 where booking_id = %(held)s",
    "test_among_the_real": "update events set is_test = true",
    "paid_booking_without_receipt": "delete from receipts_due where occasion = 'confirmed'",
    "refund_without_credit_note": """
        update refunds set state = 'succeeded';
        delete from receipts_due where occasion = 'refunded'""",
    "receipt_does_not_add_up":
        REPLICA + "update receipts set breakdown = breakdown || '{\"tax\": 0}'",
    "receipt_numbers_with_gaps": REPLICA + """
        update receipts set number = number + 1
        where number = (select max(number) from receipts)""",
    "buyer_counted_wrongly": "update buyer_seats set seats = seats + 1",
    "state_not_in_log": REPLICA + """
        update bookings set state = 'cancelled' where id = %(expired)s""",
    "booking_under_way_forgotten": "delete from outbox where key = %(secured)s::text",
    "review_past_its_time": """
        update bookings set review_until = now() - interval '1 day' where id = %(review)s""",
    "review_without_reserved_money": """
        update payments set state = 'voided' where booking_id = %(review)s""",
    "booking_under_way_without_payment": """
        update payments set state = 'failed' where booking_id = %(authorising)s""",
    "payment_forgotten": """
        insert into payments (event_id, booking_id, organisation_id, gateway_account_id, amount,
            currency, params)
        select event_id, id, organisation_id, gateway_account_id, total, currency, '{}'
        from bookings where id = %(expired)s""",
    "refund_forgotten": "delete from outbox where actor = 'refund'",
    "offline_money_forgotten": """
        insert into offline_payments (payment_id, gateway_account_id, reference, amount, currency,
            received_at, recorded_by)
        select id, gateway_account_id, '1', amount, currency, now(), 'desk' from payments
        where booking_id = %(action)s""",
    "transfers_do_not_add_up": """
        update payments set method = 'offline' where booking_id = %(action)s;
        insert into transfers (event_id, booking_id, payment_id, gateway_account_id, reference,
            amount, currency, recorded_by)
        select event_id, booking_id, id, gateway_account_id, 'x', amount, currency, 'organiser:1'
        from payments where booking_id = %(action)s""",
    "owed_and_nobody_told": """
        insert into refunds (payment_id, event_id, booking_id, amount, currency, reason, state)
        select id, event_id, booking_id, amount, currency, 'asked', 'failed' from payments
        where booking_id = %(confirmed)s""",
    "confirmation_not_mailed": """
        delete from outbox where args->>'email_id' in
            (select id::text from emails where booking_id = %(free)s);
        delete from emails where booking_id = %(free)s""",
    "postponement_not_mailed": """
        insert into postponements (event_id, number, reason, give_back_until, old_starts_at,
            new_starts_at, old_time_zone, new_time_zone, old_venue_id, new_venue_id, requested_by,
            finished_at)
        select id, 1, '', starts_at, starts_at, starts_at + interval '1 day', time_zone, time_zone,
            venue_id, venue_id, 'organiser:1', now() from events""",
    "email_forgotten": "delete from outbox where actor = 'send_email'",
    "plan_import_forgotten": """
        insert into plan_imports (organisation_id, venue_id, strict, guess, unrelated, source, slot,
            requested_by)
        select organisation_id, venue_id, false, true, false, '{}', 1, 'tests' from events
        limit 1""",
    "stalled_for_ever": """
        insert into lanes (event_id) values (99);
        insert into lane_state (event_id, state, served_at) values (99, 'waiting_for_seats', now());
        insert into entries (event_id, number, organisation_id, buyer_id, quantity,
            idempotency_key, request_sha256)
        values (99, 1, 1, 1, 1, 'other', '')""",
    "queue_ending_without_its_state": """
        insert into queue_endings (event_id, reason, last_number, everyone)
        select event_id, 'sold_out', 99, true from lanes""",
    "standby_without_hope": """
        insert into lanes (event_id) values (99);
        insert into lane_state (event_id, standby_from) values (99, 2);
        insert into entries (event_id, number, organisation_id, buyer_id, state, quantity,
            idempotency_key, request_sha256)
        values (99, 1, 1, 1, 'standby', 1, 'other', '')""",
    "confirmed_booking_not_told": """
        insert into feed_progress (from_xid, to_xid, since, next_xid, began_at)
        values (1::bigint << 60, 1::bigint << 60, now(), 1, now() - interval '1 day')""",
    "feed_numbers_with_gaps": """
        insert into feed_heads select id, false, 3 from organisations limit 1;
        insert into feed_messages (organisation_id, is_test, number, at, event_id, type, data)
        select organisation_id, is_test, unnest(array[1, 3]), now(), 1, 'seats.blocked', '{}'
        from feed_heads""",
    "audit_chain_broken": """
        select audit('tried', null, '{}');
        select chain_acts(1000);
        set session_replication_role = replica;
        update audit_log set actor = 'another' where action = 'tried';
        reset session_replication_role""",
}  # fmt: skip


def run_script(conn: Conn, script: str, bookings: dict[str, UUID]) -> None:
    for statement in script.split(";"):
        conn.execute(statement.encode(), bookings)
