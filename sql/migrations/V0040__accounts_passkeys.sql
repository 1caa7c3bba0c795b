/* Passkeys (WebAuthn): keys that a device keeps, and uses once its person has unlocked it. public_key: as COSE has
   it. sign_count: how often the device has used it, as it says; devices that count nothing say 0. name: as the
   person calls it. */
create table passkeys (
    id bigint generated always as identity primary key,
    account_id bigint not null references accounts,
    credential_id bytea not null unique check (length(credential_id) between 1 and 1023),
    public_key bytea not null check (length(public_key) between 1 and 2000),
    sign_count bigint not null check (sign_count >= 0),
    name text not null check (length(name) between 1 and 200),
    created_at timestamptz not null default clock_timestamp(),
    used_at timestamptz
);
create index passkeys_account on passkeys (account_id, id);

/* Challenges that were answered, each once. They are signed and good for five minutes, so those that were not
   answered need no row. */
create table passkey_challenges (
    challenge_sha256 bytea primary key,
    created_at timestamptz not null default clock_timestamp()
);
create index passkey_challenges_age on passkey_challenges (created_at);
