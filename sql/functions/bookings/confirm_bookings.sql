/* Confirms bookings of one event, the saga's last step: sells their seats and issues their tickets. The arrays
   belong together. Returns the bookings; another transaction was first with the others, see
   secure_booking. */
create or replace function confirm_bookings(p_event bigint, p_bookings uuid[], p_payments uuid[])
returns uuid[] language plpgsql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
declare
    confirmed uuid[];
begin
    with done as (
        update bookings b set state = 'confirmed', confirmed_at = clock_timestamp()
        from unnest(p_bookings, p_payments) w(id, payment_id)
        where b.event_id = p_event and b.id = any (p_bookings)  -- else all of the event's might be read
            and b.id = w.id and b.payment_id = w.payment_id and b.state = 'secured'
        returning b.id
    )
    select array_agg(id) into confirmed from done;
    perform from booking_items i
    join seats s on s.event_id = i.event_id and s.seat = i.seat and s.booking_id = i.booking_id
    where i.event_id = p_event and i.booking_id = any (confirmed)
    order by s.seat for update of s;
    update seats s set state = 'sold'
    from booking_items i
    where i.event_id = p_event and i.booking_id = any (confirmed)
        and s.event_id = i.event_id and s.seat = i.seat and s.booking_id = i.booking_id;
    perform issue_tickets(p_event, confirmed);
    return confirmed;
end $$;
