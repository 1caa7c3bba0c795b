/* Lists the tables that belong to a booking, in the order in which its rows can be deleted: a table that
   refers to another comes first. condition: which rows x belong to booking b; if of_event, the event must
   be the same as well. Every table that refers to one of these must be listed too (a test checks it). */
create or replace function archive_parts(
    out n integer, out part text, out of_table text, out of_event boolean, out condition text)
returns setof record language sql immutable as $$
    values
        (1, 'tickets', 'tickets', true, 'x.booking_id = b.id'),
        (2, 'refund_items', 'refund_items', true, 'x.booking_id = b.id'),
        (3, 'offline_refunds', 'offline_refunds', false, 'x.refund_id in (
            select r.id from refunds r where r.event_id = b.event_id and r.booking_id = b.id)'),
        (4, 'refund_emails', 'emails', true, 'x.booking_id = b.id and x.refund_id is not null'),
        (5, 'emails', 'emails', true,
            'x.booking_id = b.id and x.refund_id is null and x.postponement is null'),
        (6, 'postponement_emails', 'emails', true,
            'x.booking_id = b.id and x.refund_id is null and x.postponement is not null'),
        (7, 'disputes', 'disputes', true, 'x.booking_id = b.id'),
        (8, 'fraud_warnings', 'fraud_warnings', true, 'x.booking_id = b.id'),
        (9, 'refunds', 'refunds', true, 'x.booking_id = b.id'),
        (10, 'offline_payments', 'offline_payments', false, 'x.payment_id in (
            select p.id from payments p where p.event_id = b.event_id and p.booking_id = b.id)'),
        (11, 'transfers', 'transfers', true, 'x.booking_id = b.id'),
        (12, 'payments', 'payments', true, 'x.booking_id = b.id'),
        (13, 'seats', 'seats', true, 'x.booking_id = b.id and x.seat = any (array(
            select i.seat from booking_items i where i.event_id = b.event_id and i.booking_id = b.id))'),
        (14, 'entries', 'entries', true, 'x.id = b.entry_id'),
        (15, 'items', 'booking_items', true, 'x.booking_id = b.id'),
        (16, 'notes', 'booking_notes', true, 'x.booking_id = b.id'),
        (17, 'tags', 'booking_tags', true, 'x.booking_id = b.id')
$$;
