/* Resolves the dead letter of a refund that failed and is no longer owed. */
create or replace function resolve_owed(p_event bigint, p_refund uuid, p_resolution text) returns void
language sql as $$
    update dead_letters set resolved_at = clock_timestamp(), resolution = p_resolution
    where event_id = p_event and args ->> 'refund_id' = p_refund::text and resolved_at is null;
$$;
