/* Returns the total time since p_since in which the gateway could not be used. */
create or replace function outage_overlap(p_gateway_account bigint, p_since timestamptz)
returns interval language sql stable as $$
    select coalesce(sum(coalesce(closed_at, clock_timestamp()) - greatest(opened_at, p_since)),
        interval '0')
    from outages
    where gateway_account_id = p_gateway_account
        and coalesce(closed_at, clock_timestamp()) > p_since
$$;
