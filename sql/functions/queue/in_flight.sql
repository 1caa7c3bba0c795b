/* Buyers of an event who may still pay: with seats held, or with a pass. Those whose payment is being
   looked at have done so, and would keep others out for a day. */
create or replace function in_flight(p_event bigint) returns bigint language sql stable as $$
    select (select count(*) from bookings where event_id = p_event
                and booking_is_open(state) and state <> 'review')
        + (select count(*) from entries where event_id = p_event
                and state = 'admitted' and pass_state <> 'missed' and pass_until > clock_timestamp())
$$;
