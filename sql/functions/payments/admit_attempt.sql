/* Says whether an attempt may be sent to the gateway now: see decline_room. An attempt that was sent before is
   only asked about again. */
create or replace function admit_attempt(p_event bigint, p_payment uuid, p_limits jsonb) returns text
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    p payments;
    buyer bigint;
begin
    select * into p from payments where id = p_payment;
    if p.first_sent_at is not null or p.method = 'offline' then
        return 'go';
    end if;
    perform follow_each_other(array[p_event], array[p_payment]);
    select buyer_id into buyer from bookings where event_id = p_event and id = p.booking_id;
    return decline_room(p_event, buyer, p.address_hash, p_limits, p_payment);
end $$;
