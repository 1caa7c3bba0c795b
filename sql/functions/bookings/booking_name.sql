/* Returns the name that the organiser gave for a booking; null: it is its buyer's. */
create or replace function booking_name(p_event bigint, p_booking uuid) returns text
language sql stable as $$
    select name from booking_names where event_id = p_event and booking_id = p_booking
$$;
