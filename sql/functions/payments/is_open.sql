/* Tells whether a dispute in this state is open: the buyer's bank has the money, and has not decided. */
create or replace function is_open(p_dispute_state text) returns boolean
language sql immutable parallel safe as $$
    select p_dispute_state in ('needs_response', 'under_review')
$$;
