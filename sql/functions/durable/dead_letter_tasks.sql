/* Makes dead letters of tasks that are leased under p_token, one open letter for each task. p_keep: the
   tasks are kept and tried again, and each later failure updates the letter. p_attempt: this attempt
   failed for the reason, so it is added to the history. */
create or replace function dead_letter_tasks(
    p_ids bigint[], p_token uuid, p_reason text, p_keep boolean, p_attempt boolean)
returns void language plpgsql as $$
begin
    insert into dead_letters (task_id, actor, queue, key, args, priority, event_id, booking_id, buyer_id,
        reason, claims, failures, errors, trace, retry_of, created_at)
    select o.id, o.actor, o.queue, o.key, o.args, o.priority, c.event_id, c.booking_id, c.buyer_id,
        p_reason, o.claims, o.failures + p_attempt::integer,
        case when p_attempt then add_attempt(o.errors, 'failed', p_reason, o.claims, o.leased_by)
            else o.errors end,
        o.trace, o.retry_of, o.created_at
    from (select * from outbox where id = any (p_ids) and lease_token = p_token
          order by id for update) o
    cross join lateral find_concern(o.args, o.event_id) c
    on conflict (task_id) where resolved_at is null and task_id > 0 do update
    set reason = excluded.reason, claims = excluded.claims, failures = excluded.failures,
        errors = excluded.errors, trace = excluded.trace;
    if not p_keep then
        delete from outbox where id = any (p_ids) and lease_token = p_token;
    end if;
end $$;
