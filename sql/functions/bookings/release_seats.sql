/* Releases the seats of bookings that end, and wakes the lane. The caller has locked the bookings and ends
   them in the same transaction. Locks the seats by id, then the counters. */
create or replace function release_seats(p_event bigint, p_bookings uuid[]) returns integer
language plpgsql as $$
declare
    released integer;
begin
    perform from seats where event_id = p_event and booking_id = any (p_bookings)
        and seat = any (array(select seat from booking_items
                              where event_id = p_event and booking_id = any (p_bookings)))
    order by seat for update;
    update seats s set state = 'free', booking_id = null
    from booking_items i
    where i.event_id = p_event and i.booking_id = any (p_bookings)
        and s.event_id = i.event_id and s.seat = i.seat and s.booking_id = i.booking_id;
    get diagnostics released = row_count;
    perform from buyer_seats where event_id = p_event and buyer_id = any (array(
        select buyer_id from bookings where event_id = p_event and id = any (p_bookings)))
    order by buyer_id for update;
    update buyer_seats c set seats = c.seats - b.quantity
    from (select buyer_id, sum(quantity) as quantity from bookings
          where event_id = p_event and id = any (p_bookings) group by buyer_id) b
    where c.event_id = p_event and c.buyer_id = b.buyer_id;
    return released;
end $$;
