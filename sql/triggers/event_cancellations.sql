create or replace trigger event_cancellations_audit after insert on event_cancellations
    for each row execute function audit_changes('event cancelled', 'event_id', 'reason', 'with_fees');
