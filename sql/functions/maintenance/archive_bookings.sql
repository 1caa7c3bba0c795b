/* Moves bookings of an event into its archive, with all rows that belong to them. */
create or replace function archive_bookings(p_event bigint, p_month date, ids uuid[])
returns void language plpgsql set jit = off set enable_seqscan = off as $$
declare
    buyers constant bigint[] := array(
        select distinct buyer_id from bookings where event_id = p_event and id = any (ids));
    part record;
begin
    insert into archived_bookings (month, event_id, id, code, organisation_id, buyer_id, state, quantity,
        currency, total, captured, refunded, created_at, confirmed_at, document)
    select p_month, b.event_id, b.id, b.code, b.organisation_id, b.buyer_id, b.state, b.quantity,
        b.currency, b.total, m.captured, m.refunded, b.created_at, b.confirmed_at, d.document
    from booking_documents(p_event, ids) d
    join bookings b on b.event_id = p_event and b.id = d.id
    cross join lateral (
        select coalesce(sum(p.captured), 0) as captured, coalesce(sum(p.refunded), 0) as refunded
        from payments p where p.event_id = p_event and p.booking_id = b.id) m;
    insert into archived_payments (month, payment_id, gateway_account_id, gateway_ref, event_id, booking_id)
    select p_month, id, gateway_account_id, gateway_ref, event_id, booking_id
    from payments where event_id = p_event and booking_id = any (ids);
    delete from booking_addresses where event_id = p_event and booking_id = any (ids);
    delete from booking_names where event_id = p_event and booking_id = any (ids);
    delete from booking_terms where booking_id = any (ids);
    delete from bookings_to_index where booking_id = any (ids);
    for part in select * from archive_parts() order by n loop
        execute format('delete from %I x using bookings b
            where b.event_id = $1 and b.id = any ($2) and %s', part.of_table,
            part_condition(part.of_event, part.condition)) using p_event, ids;
    end loop;
    delete from bookings where event_id = p_event and id = any (ids);
    perform recount_buyer(p_event, buyer) from unnest(buyers) buyer order by buyer;
end $$;
