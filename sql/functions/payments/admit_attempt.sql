/* Says whether an attempt may be sent to the gateway now: see decline_room. An attempt that was sent before is
   only asked about again. The lock makes attempts of one address follow each other, so that what one of them
   is allowed is known to the next; it is held for the rest of a short transaction. */
create or replace function admit_attempt(p_event bigint, p_payment uuid, p_limits jsonb) returns text
language plpgsql as $$
declare
    p payments;
    buyer bigint;
begin
    select * into p from payments where id = p_payment;
    if p.first_sent_at is not null or p.method = 'offline' then
        return 'go';
    end if;
    select buyer_id into buyer from bookings where event_id = p_event and id = p.booking_id;
    perform pg_advisory_xact_lock(hashtextextended('attempts of ' || buyer, 0));
    if p.address_hash is not null then
        perform pg_advisory_xact_lock(hashtextextended('attempts from ' || p.address_hash::text, 0));
    end if;
    return decline_room(p_event, buyer, p.address_hash, p_limits, p_payment);
end $$;
