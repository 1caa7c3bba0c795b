/* Whether the outcome of a payment is still to come, as the index payments_open has them. */
create or replace function payment_is_open(p_state text) returns boolean
language sql immutable parallel safe as $$
    select p_state in ('intended', 'requires_action', 'processing', 'authorised', 'unknown')
$$;
