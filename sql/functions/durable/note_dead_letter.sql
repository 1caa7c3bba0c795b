/* Writes to the audit log what an operator did with a dead letter. A reason is in the operator's own words: about
   a buyer it is personal. */
create or replace function note_dead_letter(l dead_letters, p_action text, p_detail jsonb) returns void
language sql as $$
    select audit(p_action, l.event_id,
        jsonb_build_object('dead_letter', l.id, 'task', l.task_id, 'of', l.actor)
            || case when l.buyer_id is null then p_detail else p_detail - 'reason' end,
        null, l.buyer_id, case when l.buyer_id is not null and p_detail ? 'reason'
            then jsonb_build_object('reason', p_detail -> 'reason') end)
$$;
