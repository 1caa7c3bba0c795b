/* The tables that belong to a booking, in the order in which its rows can be deleted: from what refers to
   what is referred to. condition: which rows x belong to booking b, beside that of the event where
   of_event. A table that refers to one of these must be here, too (a test sees to it). */
create or replace function archive_parts(
    out n integer, out part text, out of_table text, out of_event boolean, out condition text)
returns setof record language sql immutable as $$
    values
        (1, 'tickets', 'tickets', true, 'x.booking_id = b.id'),
        (2, 'refund_items', 'refund_items', true, 'x.booking_id = b.id'),
        (3, 'offline_refunds', 'offline_refunds', false, 'x.refund_id in (
            select r.id from refunds r where r.event_id = b.event_id and r.booking_id = b.id)'),
        (4, 'refund_emails', 'emails', true, 'x.booking_id = b.id and x.refund_id is not null'),
        (5, 'emails', 'emails', true, 'x.booking_id = b.id and x.refund_id is null'),
        (6, 'disputes', 'disputes', true, 'x.booking_id = b.id'),
        (7, 'fraud_warnings', 'fraud_warnings', true, 'x.booking_id = b.id'),
        (8, 'refunds', 'refunds', true, 'x.booking_id = b.id'),
        (9, 'offline_payments', 'offline_payments', false, 'x.payment_id in (
            select p.id from payments p where p.event_id = b.event_id and p.booking_id = b.id)'),
        (10, 'payments', 'payments', true, 'x.booking_id = b.id'),
        (11, 'seats', 'seats', true, 'x.booking_id = b.id and x.seat = any (array(
            select i.seat from booking_items i where i.event_id = b.event_id and i.booking_id = b.id))'),
        (12, 'entries', 'entries', true, 'x.id = b.entry_id'),
        (13, 'items', 'booking_items', true, 'x.booking_id = b.id')
$$;

/* That condition as SQL, of x and b. */
create or replace function part_condition(p_of_event boolean, p_condition text) returns text
language sql immutable as $$
    select case when p_of_event then 'x.event_id = b.event_id and ' else '' end || p_condition
$$;

/* Bookings b of an event as documents: each with the rows of its parts, and what the log tells of it. */
create or replace function booking_documents(
    p_event bigint, p_bookings uuid[], out id uuid, out document jsonb)
returns setof record language plpgsql set jit = off set enable_seqscan = off as $$
begin
    return query execute (
        select 'select b.id, jsonb_build_object(''booking'', to_jsonb(b), ''log'', (
                select coalesce(jsonb_agg(to_jsonb(l) order by l.at), ''[]'') from state_log l
                where l.event_id = b.event_id and l.id = any (array(
                    select b.id
                    union all select p.id from payments p
                    where p.event_id = b.event_id and p.booking_id = b.id
                    union all select r.id from refunds r
                    where r.event_id = b.event_id and r.booking_id = b.id))), '
            || string_agg(format('%L, (select coalesce(jsonb_agg(to_jsonb(x)), ''[]'') from %I x where %s)',
                part, of_table, part_condition(of_event, condition)), ', ' order by n)
            || ') from bookings b where b.event_id = $1 and b.id = any ($2)'
        from archive_parts())
    using p_event, p_bookings;
end $$;
