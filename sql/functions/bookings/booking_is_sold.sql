/* Tells whether a booking's seats are sold; a frozen booking's are, although its tickets are not valid. */
create or replace function booking_is_sold(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('confirmed', 'frozen')
$$;
