/* Marks attempts as sent that may be sent now: see admit_attempt. Each counts for the next of its buyer or
   address. Returns those that were marked; the others have to wait, or are refused. None of them was sent before.
   The arrays belong together. */
create or replace function send_attempts(p_events bigint[], p_payments uuid[], p_limits jsonb)
returns setof uuid language plpgsql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
declare
    attempt record;
    sent uuid[] := '{}';
begin
    perform follow_each_other(p_events, p_payments);
    for attempt in
        select p.id, p.event_id, b.buyer_id, p.address_hash
        from unnest(p_payments) with ordinality u(id, place)
        join payments p on p.id = u.id and array_position(p_events, p.event_id) is not null
        join bookings b on b.event_id = p.event_id and b.id = p.booking_id
        where p.first_sent_at is null
        order by u.place
    loop
        if decline_room(attempt.event_id, attempt.buyer_id, attempt.address_hash, p_limits, attempt.id, sent)
                = 'go' then
            sent := sent || attempt.id;
        end if;
    end loop;
    perform mark_sent(p_events, sent);
    return query select unnest(sent);
end $$;
