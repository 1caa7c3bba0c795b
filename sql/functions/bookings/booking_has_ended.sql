/* Tells whether a booking has ended, so that its seats are released. */
create or replace function booking_has_ended(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('expired', 'cancelled', 'failed')
$$;
