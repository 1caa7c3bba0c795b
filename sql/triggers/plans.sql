create or replace trigger plans_audit after insert on plans
    for each row execute function audit_changes('plan added', '', '=id', '=venue_id', 'name');
