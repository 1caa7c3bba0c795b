/* Returns the gateway accounts that cannot be used, because their circuit is open. */
create or replace function accounts_away() returns bigint[] language sql stable as $$
    select coalesce(array_agg(gateway_account_id), '{}') from outages where closed_at is null
$$;
