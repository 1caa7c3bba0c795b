/* Tells whether an entry is in the queue or has a pass, as in the index entries_one_active. */
create or replace function entry_is_active(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('lobby', 'waiting', 'standby', 'admitted')
$$;
