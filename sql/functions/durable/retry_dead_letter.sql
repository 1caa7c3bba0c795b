/* Tries a dead letter's task again. outcome: 'retried': the letter is resolved, and task_id is a new task;
   'hastened': the task was kept, and runs now; or why not: 'unknown', 'resolved', or 'refused' with the
   detail. */
create or replace function retry_dead_letter(
    p_dead_letter bigint, out outcome text, out task_id bigint, out detail text)
language plpgsql as $$
declare
    locked constant record := lock_dead_letter(p_dead_letter);
    l constant dead_letters := locked.letter;
begin
    task_id := case when l.resolved_at is null then l.task_id else l.retried_as end;
    outcome := case
        when l.id is null then 'unknown'
        when l.resolved_at is not null then 'resolved'
        when locked.lives then 'hastened'
        when l.task_id = 0 then 'refused'
        when l.actor = 'refund' and exists (
            select from refunds r
            where r.id = (l.args ->> 'refund_id')::uuid and r.state = 'failed') then 'refused'
        else 'retried' end;
    detail := case
        when outcome = 'resolved' then l.resolution
        when outcome = 'refused' and l.task_id = 0
            then 'this was no task: there is nothing to try again'
        when outcome = 'refused'
            then coalesce(find_unfinished(l), 'the refund is settled: there is nothing to try') end;
    if outcome = 'hastened' then
        update outbox set run_at = least(run_at, clock_timestamp()), resend_at = clock_timestamp()
        where id = l.task_id;
    elsif outcome = 'retried' then
        update emails set state = 'pending'
        where id = (l.args ->> 'email_id')::uuid and state = 'failed';
        task_id := enqueue(l.actor, l.queue, l.key, l.args, l.event_id, p_priority => l.priority,
            p_trace => l.trace);
        update outbox set retry_of = l.id where id = retry_dead_letter.task_id;
        update dead_letters
        set resolved_at = clock_timestamp(), resolution = 'retried', retried_as = retry_dead_letter.task_id,
            resolved_by = acting()
        where id = l.id;
    end if;
    if outcome in ('hastened', 'retried') then
        perform note_dead_letter(l, 'dead letter retried', jsonb_build_object('as_task', task_id));
    end if;
end $$;
