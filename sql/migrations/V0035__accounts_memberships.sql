/* Staff: accounts with a role in an organisation (db/accounts/rights.py), until they leave. organisation_id
   null: an operator of the platform. */
create table memberships (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts,
    organisation_id bigint references organisations,
    role text not null
        check (role in ('owner', 'manager', 'finance', 'box_office', 'door', 'analyst', 'operator')),
    created_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    constraint memberships_of_operators check ((role = 'operator') = (organisation_id is null))
);
create unique index memberships_one on memberships (account_id, organisation_id) nulls not distinct
    where ended_at is null;
create index memberships_organisation on memberships (organisation_id, id) where ended_at is null;

/* Mailed to an account's address. Only the hash of the code is kept. inviter_id: null: a key or the console. */
create table invitations (
    id bigint generated always as identity primary key,
    organisation_id bigint references organisations,
    account_id bigint not null references accounts,
    role text not null
        check (role in ('owner', 'manager', 'finance', 'box_office', 'door', 'analyst', 'operator')),
    inviter_id bigint references accounts,
    code_sha256 bytea not null unique,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null default clock_timestamp() + interval '7 days',
    accepted_at timestamptz,
    ended_at timestamptz,
    check ((role = 'operator') = (organisation_id is null)),
    check (accepted_at is null or ended_at is null)
);
create unique index invitations_one_open on invitations (account_id, organisation_id) nulls not distinct
    where accepted_at is null and ended_at is null;
create index invitations_organisation on invitations (organisation_id, id);
create index invitations_inviter on invitations (inviter_id) where accepted_at is null and ended_at is null;

/* An app that makes codes (TOTP, RFC 6238). confirmed_at: null while it is being set up. last_step: of the
   last code that was used; a code counts once. tries, tried_at: wrong codes, and since when they are counted.
   The seed is in sealed_secrets. */
create table second_factors (
    account_id bigint primary key references accounts,
    confirmed_at timestamptz,
    last_step bigint not null default 0,
    tries smallint not null default 0 check (tries >= 0),
    tried_at timestamptz,
    created_at timestamptz not null default clock_timestamp()
);

/* Codes for the day on which the app is lost, each good once. */
create table recovery_codes (
    account_id bigint not null references second_factors on delete cascade,
    code_sha256 bytea not null,
    used_at timestamptz,
    primary key (account_id, code_sha256)
);

/* A lost factor is reset a while after it was asked for, unless its owner objects by using it. */
create table second_factor_resets (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts,
    requested_by text not null,
    created_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null,
    ended_at timestamptz
);
create unique index second_factor_resets_one_open on second_factor_resets (account_id) where ended_at is null;

create index api_keys_account on api_keys (account_id) where revoked_at is null;
