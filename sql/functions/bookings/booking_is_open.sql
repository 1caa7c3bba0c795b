/* Tells whether a booking has seats and may still end, as in the index bookings_open. */
create or replace function booking_is_open(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('held', 'authorising', 'expiring', 'review', 'secured')
$$;
