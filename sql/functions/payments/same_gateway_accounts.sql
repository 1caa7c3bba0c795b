/* Returns all gateway accounts that are the same account at the gateway. */
create or replace function same_gateway_accounts(p_account bigint) returns setof bigint language sql stable as $$
    select o.id from gateway_accounts a
    join gateway_accounts o on o.real_account_id = a.real_account_id
    where a.id = p_account
$$;
