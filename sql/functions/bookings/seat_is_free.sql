/* Tells whether a seat is free and for sale, as in the index seats_free. A kept seat is only for entries
   that ask for accessible seats. */
create or replace function seat_is_free(p_state text, p_allocation smallint) returns boolean
language sql immutable parallel safe as $$
    select p_state = 'free' and p_allocation is null
$$;
