/* Tells whether a queue ending applies to an entry whose row is not written yet. */
create or replace function ending_tells(p_ending queue_endings, p_entry entries) returns boolean
language sql immutable as $$
    select coalesce(entry_is_waiting(p_entry.state)
        and p_entry.number <= p_ending.last_number
        and (p_ending.everyone or p_entry.accessible = 0 and p_entry.seats is null), false)
$$;
