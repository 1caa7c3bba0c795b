create or replace trigger account_keys_append_only before update or delete on account_keys
    for each row execute function refuse_audit_changes();

create or replace trigger account_keys_not_truncated before truncate on account_keys
    for each statement execute function refuse_audit_changes();
