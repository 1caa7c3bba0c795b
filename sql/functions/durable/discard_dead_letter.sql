/* Closes a dead letter for good and deletes its task. outcome: 'discarded'; or why not: 'unknown',
   'resolved', or 'refused' with the detail. */
create or replace function discard_dead_letter(
    p_dead_letter bigint, p_reason text, out outcome text, out detail text)
language plpgsql as $$
declare
    l constant dead_letters := (lock_dead_letter(p_dead_letter)).letter;
begin
    detail := case when l.resolved_at is null then find_unfinished(l) else l.resolution end;
    outcome := case
        when l.id is null then 'unknown'
        when l.resolved_at is not null then 'resolved'
        when detail is not null then 'refused'
        else 'discarded' end;
    if outcome = 'discarded' then
        delete from outbox where id = l.task_id;
        update emails set state = 'failed', last_error = 'discarded: ' || p_reason
        where id = (l.args ->> 'email_id')::uuid and state = 'pending';
        update dead_letters
        set resolved_at = clock_timestamp(), resolution = 'discarded: ' || p_reason,
            resolved_by = acting()
        where id = l.id;
        perform note_dead_letter(l, 'dead letter discarded', jsonb_build_object('reason', p_reason));
    end if;
end $$;
