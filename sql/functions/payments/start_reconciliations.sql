/* Begins a run for each account at the gateway, unless the clock's last run has not ended. A run whose
   task was discarded is given up. Returns the new runs' ids; none if the window is empty. */
create or replace function start_reconciliations(
    p_cause text, p_from timestamptz, p_to timestamptz) returns bigint[] language plpgsql as $$
declare
    begun bigint[];
begin
    update reconciliations r set state = 'abandoned', finished_at = clock_timestamp()
    where r.state = 'running' and not is_under_way('reconcile', r.id::text);
    with runs as (
        insert into reconciliations (gateway_account_id, cause, requested_by, window_from, window_to)
        select a.id, p_cause,
            acting(),
            greatest(p_from, to_timestamp(0)), least(p_to, clock_timestamp())
        from gateway_accounts a
        where a.provider <> 'offline' and a.real_account_id = a.id and a.state = 'active'
            and greatest(p_from, to_timestamp(0)) < least(p_to, clock_timestamp())
        on conflict (gateway_account_id, cause) where state = 'running' and cause <> 'asked' do nothing
        returning id
    )
    select array_agg(id) into begun from runs;
    perform enqueue('reconcile', 'maintenance', id::text, jsonb_build_object('reconciliation_id', id),
        p_priority => 80)
    from unnest(begun) id;
    return begun;
end $$;
