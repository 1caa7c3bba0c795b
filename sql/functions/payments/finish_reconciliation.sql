/* The end of a run: what it had to see, and did not, is gone. */
create or replace function finish_reconciliation(p_run bigint) returns void language plpgsql as $$
declare
    run reconciliations;
    gone bigint[];
begin
    update reconciliations set state = 'finished', finished_at = clock_timestamp()
    where id = p_run and state = 'running' returning * into run;
    with resolved as (
        update reconciliation_differences set resolved_at = clock_timestamp()
        where resolved_at is null and gateway_account_id = run.gateway_account_id
            and seen_at < run.started_at and made_at >= run.window_from and made_at < run.window_to
        returning dead_letter_id, event_id, kind, subject
    ), noted as (
        insert into audit_log (actor, action, event_id, detail)
        select coalesce(nullif(current_setting('usher.actor', true), ''), current_user),
            'difference gone', event_id,
            jsonb_build_object('reconciliation', p_run, 'kind', kind, 'subject', subject)
        from resolved
    )
    select array_agg(dead_letter_id) into gone from resolved;
    update dead_letters set resolved_at = clock_timestamp(),
        resolution = format('gone, says reconciliation %s', p_run)
    where id = any (gone) and resolved_at is null;
    delete from reconciliation_seen where reconciliation_id = p_run;
end $$;
