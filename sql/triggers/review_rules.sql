create or replace trigger review_rules_audit after insert or update on review_rules
    for each row execute function audit_changes('review rules changed', '', '=rule', 'window_seconds', 'most',
        'action');
