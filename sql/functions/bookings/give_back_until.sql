/* Returns until when a booking can be given back, because its event was postponed after it was made; null:
   it was not. */
create or replace function give_back_until(p_booking bookings) returns timestamptz
language sql stable as $$
    select give_back_until from postponements
    where event_id = p_booking.event_id and requested_at > p_booking.created_at
    order by number desc limit 1
$$;
