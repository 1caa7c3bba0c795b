create or replace trigger venues_audit after insert on venues
    for each row execute function audit_changes('venue added', '', '=id', 'name', 'city', 'time_zone');
