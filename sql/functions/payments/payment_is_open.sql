/* Tells whether a payment has no final state yet, as in the index payments_open. */
create or replace function payment_is_open(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('intended', 'requires_action', 'processing', 'authorised', 'unknown')
$$;
