/* Says whether an attempt may be sent to the gateway now: see decline_room. An attempt that was sent before is
   only asked about again. */
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
    perform follow_each_other(array[p_payment]);
    select buyer_id into buyer from bookings where event_id = p_event and id = p.booking_id;
    return decline_room(p_event, buyer, p.address_hash, p_limits, p_payment);
end $$;

/* Makes attempts of one buyer, and those of one address, follow each other, so that what one of them is
   allowed is known to the next. The locks are held for the rest of a short transaction. They are taken in
   one order: buyers before addresses, each by its number. */
create or replace function follow_each_other(p_payments uuid[]) returns void
language plpgsql set enable_seqscan = off as $$
begin
    perform pg_advisory_xact_lock(number) from (
        select distinct hashtextextended('attempts of ' || b.buyer_id, 0) as number
        from payments p join bookings b on b.event_id = p.event_id and b.id = p.booking_id
        where p.id = any (p_payments) order by 1) buyers;
    perform pg_advisory_xact_lock(number) from (
        select distinct hashtextextended('attempts from ' || p.address_hash::text, 0) as number
        from payments p
        where p.id = any (p_payments) and p.address_hash is not null order by 1) addresses;
end $$;
