/* Whether the buyer's bank has the money of a dispute, for now or for good. */
create or replace function is_open(p_dispute_state text) returns boolean
language sql immutable parallel safe as $$
    select p_dispute_state in ('needs_response', 'under_review')
$$;
