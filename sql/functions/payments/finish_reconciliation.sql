/* Finishes a run. Differences of its window that it did not see again are resolved. */
create or replace function finish_reconciliation(p_run bigint) returns void language plpgsql as $$
declare
    run reconciliations;
    gone reconciliation_differences;
begin
    update reconciliations set state = 'finished', finished_at = clock_timestamp()
    where id = p_run and state = 'running' returning * into run;
    for gone in
        update reconciliation_differences set resolved_at = clock_timestamp()
        where resolved_at is null and gateway_account_id = run.gateway_account_id
            and seen_at < run.started_at and made_at >= run.window_from and made_at < run.window_to
        returning *
    loop
        perform audit('difference gone', gone.event_id, jsonb_build_object('reconciliation', p_run,
            'kind', gone.kind, 'subject', gone.subject));
        update dead_letters set resolved_at = clock_timestamp(),
            resolution = format('gone, says reconciliation %s', p_run)
        where id = gone.dead_letter_id and resolved_at is null;
    end loop;
    delete from reconciliation_seen where reconciliation_id = p_run;
end $$;
