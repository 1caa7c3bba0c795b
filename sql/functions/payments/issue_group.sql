/* Records captured payments of a group and confirms their bookings. p_outcomes: see record_outcomes; with
   event_id and booking_id. A member whose booking or payment has changed since it was read is left as it is,
   for its own task to look at. Returns the other payments. */
create or replace function issue_group(p_outcomes jsonb) returns setof uuid
language plpgsql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
declare
    members constant jsonb := lock_members(p_outcomes, 'secured');
    recorded constant uuid[] := array(select record_outcomes(members));
    of_event record;
begin
    for of_event in
        select event_id, array_agg(booking_id order by booking_id) as bookings,
            array_agg(id order by booking_id) as payments
        from payments where id = any (recorded) group by event_id order by event_id
    loop
        perform confirm_bookings(of_event.event_id, of_event.bookings, of_event.payments);
    end loop;
    return query select unnest(recorded);
end $$;
