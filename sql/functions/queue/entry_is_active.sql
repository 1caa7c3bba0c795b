/* Whether an entry still has a place, as the index entries_one_active has them. */
create or replace function entry_is_active(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('lobby', 'waiting', 'standby', 'admitted')
$$;
