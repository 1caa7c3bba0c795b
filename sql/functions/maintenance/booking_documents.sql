/* Writes bookings b of an event as documents, each with the rows of its parts and its state log. */
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
