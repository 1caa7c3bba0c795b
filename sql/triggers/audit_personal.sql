create or replace trigger audit_personal_append_only before update or delete on audit_personal
    for each row execute function refuse_audit_changes();

create or replace trigger audit_personal_not_truncated before truncate on audit_personal
    for each statement execute function refuse_audit_changes();
