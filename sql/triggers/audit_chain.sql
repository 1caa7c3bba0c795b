create or replace trigger audit_chain_append_only before update or delete on audit_chain
    for each row execute function refuse_audit_changes();

create or replace trigger audit_chain_not_truncated before truncate on audit_chain
    for each statement execute function refuse_audit_changes();
