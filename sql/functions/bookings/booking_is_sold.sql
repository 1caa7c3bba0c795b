/* Whether a booking's seats are sold; the tickets of one that is frozen are not valid for now. */
create or replace function booking_is_sold(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('confirmed', 'frozen')
$$;
