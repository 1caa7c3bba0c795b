/* Counts the buyers of an event in flight, who may still pay: with held seats, or with a pass. A booking in
   review does not count: its buyer has paid, and it would take the place of another for a day. */
create or replace function in_flight(p_event bigint) returns bigint language sql stable as $$
    select (select count(*) from bookings where event_id = p_event
                and booking_is_open(state) and state <> 'review')
        + (select count(*) from entries e, events v where v.id = p_event and e.event_id = p_event
                and e.state = 'admitted' and pass_keeps_place(e, v.pass_seconds))
$$;
