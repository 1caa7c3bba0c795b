/* Tells whether bookings of an event have to be paid through its gateway. */
create or replace function needs_gateway(p_event bigint) returns boolean language sql stable as $$
    select exists (select from event_categories where event_id = p_event and price + fee > 0)
        and (select payment_methods <> '{}' from events where id = p_event)
$$;
