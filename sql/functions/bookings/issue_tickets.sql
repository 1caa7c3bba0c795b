/* Issues the tickets of bookings that the caller's transaction confirms, and writes their e-mail. A buyer who
   held seats when the event was postponed is told of that, too. */
create or replace function issue_tickets(p_event bigint, p_bookings uuid[]) returns void
language sql set enable_nestloop = on as $$  -- hold_seats, which calls it, has it off
    insert into tickets (event_id, booking_id, seat)
    select i.event_id, i.booking_id, i.seat from booking_items i
    where i.event_id = p_event and i.booking_id = any (p_bookings);
    select notify_buyers(p_event, p_bookings, 'confirmed');
    select notify_postponed(p_event, p_bookings);
$$;
