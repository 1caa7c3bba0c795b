/* Whether end_queue has told an entry what is yet to be written. */
create or replace function is_told(p_lane lanes, p_entry entries) returns boolean
language sql immutable as $$
    select coalesce(entry_is_waiting(p_entry.state) and p_entry.number <= p_lane.told_through
        and (p_lane.told_all or p_entry.accessible = 0 and p_entry.seats is null), false)
$$;
