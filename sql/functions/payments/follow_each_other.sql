/* Makes attempts of one buyer, and those of one address, follow each other, so that what one of them is
   allowed is known to the next. The locks are held for the rest of a short transaction. They are taken in
   one order: buyers before addresses, each by its number; null takes none. (The conditions are
   those of one index: a plan from a time with few payments would read all of an event's, or all with an
   address, by another until the next analyze.) */
create or replace function follow_each_other(p_events bigint[], p_payments uuid[]) returns void
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    perform pg_advisory_xact_lock(number) from (
        select distinct hashtextextended('attempts of ' || b.buyer_id, 0) as number
        from payments p join bookings b on b.event_id = p.event_id and b.id = p.booking_id
        where p.id = any (p_payments) and array_position(p_events, p.event_id) is not null order by 1) buyers;
    perform pg_advisory_xact_lock(number) from (
        select distinct hashtextextended('attempts from ' || p.address_hash::text, 0) as number
        from payments p
        where p.id = any (p_payments) and array_position(p_events, p.event_id) is not null order by 1) addresses;
end $$;
