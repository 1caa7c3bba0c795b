create or replace trigger api_keys_audit_added after insert on api_keys
    for each row execute function audit_changes('key added', '', '=id', 'role', 'name', 'scopes', 'networks', 'expires_at');

create or replace trigger api_keys_audit after update of revoked_at on api_keys
    for each row execute function audit_changes('key revoked', '', '=id', '=name', 'revoked_at');

create or replace trigger api_keys_audit_rotated after update of secret_sha256 on api_keys
    for each row execute function audit_changes('key rotated', '', '=id', '=name', 'prefix', 'old_until');
