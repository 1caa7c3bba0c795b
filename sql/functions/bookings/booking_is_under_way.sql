/* Tells whether a booking is being paid: its saga has not ended. */
create or replace function booking_is_under_way(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('authorising', 'expiring', 'review', 'secured')
$$;
