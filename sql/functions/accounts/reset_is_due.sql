/* Tells whether the reset of a person's second factors is due: then they are given nowhere any more, whether they
   were deleted yet or not. */
create or replace function reset_is_due(p_account bigint) returns boolean language sql stable as $$
    select exists (
        select from second_factor_resets
        where account_id = p_account and ended_at is null and due_at <= clock_timestamp())
$$;
