/* Returns the condition of a part (see archive_parts) as SQL about x and b. */
create or replace function part_condition(p_of_event boolean, p_condition text) returns text
language sql immutable as $$
    select case when p_of_event then 'x.event_id = b.event_id and ' else '' end || p_condition
$$;
