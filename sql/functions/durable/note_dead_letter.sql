/* Writes to the audit log what an operator did with a dead letter. */
create or replace function note_dead_letter(l dead_letters, p_action text, p_detail jsonb) returns void
language sql as $$
    select audit(p_action, l.event_id,
        jsonb_build_object('dead_letter', l.id, 'task', l.task_id, 'of', l.actor) || p_detail)
$$;
