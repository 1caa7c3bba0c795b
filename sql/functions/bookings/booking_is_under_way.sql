/* Whether a booking is being paid for: a task carries it on, or a person looks at it. */
create or replace function booking_is_under_way(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('authorising', 'expiring', 'review', 'secured')
$$;
