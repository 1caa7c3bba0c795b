/* Writes the mails that tell buyers of an event's latest postponement, for those of the bookings that are
   sold and were made before it; at most one for each booking and postponement. A mail says what the event
   was when the booking was made, however often it was postponed since. They can wait for tickets. Returns
   how many were written. */
create or replace function notify_postponed(p_event bigint, p_bookings uuid[]) returns integer
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    latest postponements;
    told integer;
begin
    select * into latest from postponements where event_id = p_event order by number desc limit 1;
    if not found or exists (select from events where id = p_event and state = 'cancelled') then
        return 0;
    end if;
    with written as (
        insert into emails (event_id, booking_id, buyer_id, template, postponement, context)
        select b.event_id, b.id, b.buyer_id, 'postponed', latest.number, jsonb_build_object(
            'why', latest.reason, 'give_back_until', latest.give_back_until,
            'before', jsonb_build_object('starts_at', f.old_starts_at, 'time_zone', f.old_time_zone,
                'venue', concat_ws(', ', v.name, nullif(v.city, ''))))
        from bookings b
        cross join lateral (
            select * from postponements p
            where p.event_id = p_event and p.requested_at > b.created_at
            order by p.number limit 1) f
        join venues v on v.id = f.old_venue_id
        where b.event_id = p_event and b.id = any (p_bookings)
            and b.created_at < latest.requested_at and booking_is_sold(b.state)
        on conflict do nothing
        returning id, event_id
    )
    insert into outbox (actor, queue, args, event_id, priority)
    select 'send_email', 'mail', jsonb_build_object('email_id', id), event_id, 80 from written;
    get diagnostics told = row_count;
    return told;
end $$;
