/* Whether a booking holds its seats and has not come to its end, as the index bookings_open has them. */
create or replace function booking_is_open(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('held', 'authorising', 'expiring', 'review', 'secured')
$$;
