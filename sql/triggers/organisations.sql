create or replace trigger organisations_audit_added after insert on organisations
    for each row execute function audit_changes('organisation added', '', '=id', 'name');

create or replace trigger organisations_audit after update on organisations
    for each row when (old.* is distinct from new.*)
    execute function audit_changes('organisation changed', '', '=id', 'name', 'address', 'vat_id',
        'return_urls', 'review_seconds', 'review_ends', 'holds_free', 'holds_most', 'holds_wait_seconds',
        'suspended_at', 'suspension', 'test_mode');
