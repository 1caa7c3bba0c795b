create or replace trigger audit_unchained_append_only before update or delete on audit_unchained
    for each row execute function refuse_audit_changes();

create or replace trigger audit_unchained_not_truncated before truncate on audit_unchained
    for each statement execute function refuse_audit_changes();
