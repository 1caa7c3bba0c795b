/* The dead letter of a refund that failed needs nobody any more. */
create or replace function resolve_owed(p_refund uuid, p_resolution text) returns void
language sql as $$
    update dead_letters set resolved_at = clock_timestamp(), resolution = p_resolution
    where args ->> 'refund_id' = p_refund::text and resolved_at is null;
$$;
