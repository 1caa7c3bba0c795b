/* Keys of servers: each has a role of db/accounts/rights.py.

   prefix: how the key begins, by which people recognise it; null: made before prefixes were kept.
   scopes: 'dangerous' allows what cannot be undone or opens all else; keys from before had all.
   networks: where it may be used from; none: everywhere.
   used_at: its last use, to the minute.
   account_id: the person who was shown the key; null: the console.
   old_*: the key before the last rotation, which is good until old_until. */
alter table api_keys
    drop constraint api_keys_role_check,
    add constraint api_keys_role_check check (role in ('organiser', 'manager', 'finance', 'box_office',
        'door', 'analyst', 'operator')),
    add column prefix text check (prefix ~ '^usk_[A-Za-z0-9_-]{8}$'),
    add column scopes text[] not null default '{}' check (scopes <@ array['dangerous']),
    add column networks cidr[] not null default '{}' check (cardinality(networks) <= 20),
    add column expires_at timestamptz,
    add column used_at timestamptz,
    add column account_id bigint references accounts,
    add column old_secret_sha256 bytea unique,
    add column old_until timestamptz,
    add column old_account_id bigint references accounts,
    add check ((old_secret_sha256 is null) = (old_until is null)),
    add check (old_account_id is null or old_until is not null);
update api_keys set scopes = '{dangerous}';
create index api_keys_organisation on api_keys (organisation_id);
