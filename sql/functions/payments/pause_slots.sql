/* Gives no slots at an endpoint for some seconds, after the gateway refused a call for its rate. */
create or replace function pause_slots(p_account bigint, p_endpoint text, p_seconds double precision)
returns void language sql as $$
    update gateway_slots
    set next_at = greatest(next_at, clock_timestamp() + make_interval(secs => p_seconds))
    where gateway_account_id = p_account and endpoint = p_endpoint
$$;
