/* Adds an entry to the audit log: what an organiser, an operator or a task did. */
create or replace function audit(p_action text, p_event bigint, p_detail jsonb) returns void
language sql as $$
    insert into audit_log (actor, action, event_id, detail) values (acting(), p_action, p_event, p_detail)
$$;
