/* Notes each act for the job that chains it, in the transaction of the act. */
create or replace function note_unchained() returns trigger language plpgsql as $$
begin
    insert into audit_unchained (act_id) values (new.id);
    return null;
end $$;

create or replace trigger audit_log_unchained after insert on audit_log
    for each row execute function note_unchained();

create or replace trigger audit_log_append_only before update or delete on audit_log
    for each row execute function refuse_audit_changes();

create or replace trigger audit_log_not_truncated before truncate on audit_log
    for each statement execute function refuse_audit_changes();
