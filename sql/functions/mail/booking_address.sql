/* Returns the address that the organiser gave for a booking's mails; null: they go to the buyer's. */
create or replace function booking_address(p_event bigint, p_booking uuid) returns text
language sql stable as $$
    select email from booking_addresses where event_id = p_event and booking_id = p_booking
$$;
