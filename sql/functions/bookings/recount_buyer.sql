/* Counts a buyer's seats of an event anew. The counter is locked, so no other transaction is changing what
   it counts; a later change adds to the new count. */
create or replace function recount_buyer(p_event bigint, p_buyer bigint) returns void
language plpgsql set enable_seqscan = off as $$
begin
    insert into buyer_seats (event_id, buyer_id, seats, cap)
    select id, p_buyer, 0, seats_per_buyer from events where id = p_event
    on conflict do nothing;
    perform from buyer_seats where event_id = p_event and buyer_id = p_buyer for update;
    update buyer_seats
    set seats = (
        select count(*) from bookings b
        join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
        where b.buyer_id = p_buyer and b.event_id = p_event
            and not booking_has_ended(b.state) and i.returned_at is null)
    where event_id = p_event and buyer_id = p_buyer;
end $$;
