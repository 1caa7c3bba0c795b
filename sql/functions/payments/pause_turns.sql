/* The gateway says that it is called too often: it, or the endpoint, is not called for a while. */
create or replace function pause_turns(p_account bigint, p_endpoint text, p_seconds double precision)
returns void language sql as $$
    update gateway_turns
    set next_at = greatest(next_at, clock_timestamp() + make_interval(secs => p_seconds))
    where gateway_account_id = p_account and endpoint = p_endpoint
$$;
