/* Takes seats of confirmed bookings back, p_seats[j] from p_bookings[j]: voids their tickets, sets the seats
   free (or blocked, if they are not to be sold again), and lowers the buyers' counters. A booking without a
   seat left is cancelled. The caller has locked the bookings, in the order of their ids. */
create or replace function return_seats(
    p_event bigint, p_bookings uuid[], p_seats integer[], p_resell boolean, p_reason text)
returns void language plpgsql set jit = off set enable_seqscan = off as $$
begin
    perform from seats where event_id = p_event and seat = any (p_seats) order by seat for update;
    update booking_items i set returned_at = clock_timestamp()
    from unnest(p_bookings, p_seats) r(booking, seat)
    where i.event_id = p_event and i.booking_id = r.booking and i.seat = r.seat;
    update tickets t set state = 'void', voided_at = clock_timestamp()
    from unnest(p_bookings, p_seats) r(booking, seat)
    where t.event_id = p_event and t.booking_id = r.booking and t.seat = r.seat and t.state = 'valid';
    update seats s set state = case when p_resell then 'free' else 'blocked' end, booking_id = null
    from unnest(p_bookings, p_seats) r(booking, seat)
    where s.event_id = p_event and s.seat = r.seat and s.booking_id = r.booking;
    insert into feed_notes (event_id, noun, state, ids, guids)
    select p_event, 'booking', case when p_resell then 'free' else 'blocked' end,
        array_agg(r.booking order by r.booking, r.seat), array_agg(s.guid order by r.booking, r.seat)
    from unnest(p_bookings, p_seats) r(booking, seat)
    join events v on v.id = p_event
    join plan_seats s on s.plan_version_id = v.plan_version_id and s.seat = r.seat
    having count(*) > 0;
    perform from buyer_seats where event_id = p_event and buyer_id = any (array(
        select buyer_id from bookings where event_id = p_event and id = any (p_bookings)))
    order by buyer_id for update;
    update buyer_seats c set seats = c.seats - r.seats
    from (select b.buyer_id, count(*) as seats
          from unnest(p_bookings) r(booking)
          join bookings b on b.event_id = p_event and b.id = r.booking
          group by b.buyer_id) r
    where c.event_id = p_event and c.buyer_id = r.buyer_id;
    update bookings b set state = 'cancelled', ended_at = clock_timestamp(), reason = p_reason
    where b.event_id = p_event and b.id = any (p_bookings) and booking_is_sold(b.state)
        and not exists (select from booking_items i where i.event_id = b.event_id
                        and i.booking_id = b.id and i.returned_at is null);
    if p_resell then
        insert into lane_wakes (event_id) values (p_event);
    end if;
end $$;
