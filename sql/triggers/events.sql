create or replace trigger events_audit after update of state, off_sale_at on events
    for each row execute function audit_changes('event changed', 'id', 'state', 'off_sale_at');
