/* Tells whether an entry waits for the drain. */
create or replace function entry_is_waiting(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('waiting', 'standby')
$$;
